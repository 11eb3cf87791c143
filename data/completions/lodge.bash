# SPDX-License-Identifier: LGPL-2.1-or-later
# Completion of lodge(1) for bash: lodge itself knows the words.
_lodge ()
{
  local line word=${COMP_WORDS[COMP_CWORD]} prefix=
  COMPREPLY=()
  # bash splits words at "=" and ":", lodge does not.
  local -a words
  read -r -a words <<< "${COMP_LINE:0:COMP_POINT}"
  [[ ${COMP_LINE:COMP_POINT-1:1} == " " ]] && words+=("")
  local whole=${words[-1]}
  prefix=${whole%"$word"}
  [[ $word == [=:] ]] && prefix=$whole
  while IFS= read -r line; do
    case $line in
      :files) compopt -o filenames 2>/dev/null
              local -a found
              mapfile -t found < <(compgen -f -- "$word")
              COMPREPLY+=("${found[@]}") ;;
      :nospace) compopt -o nospace 2>/dev/null ;;
      *) line=${line%%$'\t'*}
         COMPREPLY+=("${line#"$prefix"}") ;;
    esac
  done < <("${words[0]}" complete -- "${words[@]:1}" 2>/dev/null)
}
complete -F _lodge lodge
