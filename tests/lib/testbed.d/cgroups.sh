# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# Part of testbed: the control groups that everything in a testbed stays in.

# One line for each hierarchy that is mounted: "<v1 or v2> <mount point> <options>".
hierarchies() {
  awk '{
    for (i = 7; $i != "-"; i++) ;
    type = $(i + 1); opts = "-"
    if (type == "cgroup") {
      n = split($(i + 3), o, ","); opts = ""
      for (j = 1; j <= n; j++)
        if (o[j] !~ /^(rw|ro|xattr|noprefix|clone_children|release_agent=.*)$/)
          opts = opts (opts == "" ? "" : ",") o[j]
    }
    if (type == "cgroup" || type == "cgroup2")
      if (!seen[type opts]++)
        print (type == "cgroup" ? "v1" : "v2"), $5, opts
  }' /proc/self/mountinfo
}

only_v2() { ! hierarchies | grep -q ^v1; }

# Our directory in each hierarchy, as the host sees it.
cgroup_dirs() { hierarchies | while read -r _ mount _; do echo "$mount/$CGROUP"; done; }

# One by one: a controller that cannot be had must not cost the others.
enable_controllers() {
  local controller
  tr ' ' '\n' <"$1/cgroup.controllers" | while read -r controller; do
    echo "+$controller" 2>/dev/null >"$1/cgroup.subtree_control" || true
  done
}

make_cgroups() {
  local version mount opts
  hierarchies | grep -q . || die "no cgroup hierarchy is mounted on this host"
  while read -r version mount opts; do
    if [ "$version" = v2 ] && only_v2; then
      enable_controllers "$mount"
    fi
    mkdir -p "$mount/$CGROUP" || die "cannot create the control group $mount/$CGROUP"
    case ,$opts, in
      *,cpuset,*)
        cat "$mount/cpuset.cpus" >"$mount/$CGROUP/cpuset.cpus"
        cat "$mount/cpuset.mems" >"$mount/$CGROUP/cpuset.mems" ;;
    esac
  done < <(hierarchies)
}

# Moves the calling (sub)shell.  On pure v2 an inner node with controllers takes no process.
join_cgroups() {
  local dir
  for dir in $(cgroup_dirs); do
    if [ -d "$dir/services" ]; then dir=$dir/services; fi
    echo "$BASHPID" >"$dir/cgroup.procs"
  done
}

processes_inside() {
  local dir
  for dir in $(cgroup_dirs); do
    find "$dir" -name cgroup.procs -exec cat {} + 2>/dev/null || true
  done | sort -un | grep -vx 0 || true
}

remove_cgroups() {
  local dir _
  for _ in $(seq 50); do
    for dir in $(cgroup_dirs); do
      if [ -d "$dir" ]; then find "$dir" -depth -type d -exec rmdir {} + 2>/dev/null || true; fi
    done
    # shellcheck disable=SC2046 # our own paths, without spaces
    if ! ls -d $(cgroup_dirs) >/dev/null 2>&1; then return 0; fi
    sleep 0.1
  done
  note "some control groups named $CGROUP are still in use"
  return 1
}
