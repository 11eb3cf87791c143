# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# Part of testbed: what instances left behind.

cmd_leftovers() {
  local out
  use_dir "$1"
  holder >/dev/null || die "$DIR is not running"
  out=$({ leftover_domains; leftover_mounts; leftover_cgroups; leftover_links; leftover_files
          leftover_processes; } | sort -u)
  if [ -n "$out" ]; then printf '%s\n' "$out"; return 1; fi
}

leftover_domains() {
  local uri
  if ! pid_of libvirtd >/dev/null; then return 0; fi
  for uri in lxc:///system qemu:///system; do
    (enter virsh -q -c "$uri" list --all --name) 2>/dev/null | sed -n "s|..*|domain $uri &|p"
  done
}

leftover_mounts() {
  awk '$5 ~ "^/(run|var/lib)/lodge/" && $5 != "/run/lodge/ctl" { print "mount", $5 }' \
    "/proc/$(holder)/mountinfo"
}

leftover_cgroups() {
  local dir
  for dir in $(cgroup_dirs); do
    find "$dir" -mindepth 1 -type d 2>/dev/null \
      | sed "s|^$dir/||" | grep -Evx 'services|machine|machine\.slice|lodge|lodge/?' \
      | sed "s|^|cgroup $(basename "$(dirname "$dir")") |" || true
  done
}

# Bridges and what belongs to them stay with their network.
leftover_links() {
  nsenter -t "$(holder)" -n ip -o link show 2>/dev/null \
    | sed 's/^[0-9]*: \([^:@]*\).*/\1/' | grep -E '^(veth|vnet|vnic|macvtap|tap|lodge-|lv)' \
    | sed 's/^/link /' || true
}

# Names with a dot are caches that instances share.
leftover_files() {
  local root dir
  root=/proc/$(holder)/root
  for dir in var/lib/lodge/{instances,staging,trash} run/lodge/{mnt,ctl,instances}; do
    if [ -d "$root/$dir" ]; then
      find "$root/$dir" -mindepth 1 -maxdepth 1 ! -name ".*" -printf "file /$dir/%f\n"
    fi
  done
}

leftover_processes() {
  local pid name known
  known=" $(holder) $$ $BASHPID "
  for name in "${DAEMONS[@]}"; do known+="$(pid_of "$name" || true) "; done
  for pid in $(processes_inside); do
    name=$(cat "/proc/$pid/comm" 2>/dev/null) || continue
    case $name in
      dnsmasq | libvirt_leasesh | testbed-reap) continue ;; # of the network, and our own
    esac
    if [[ $known != *" $pid "* ]]; then echo "process $name"; fi
  done
}
