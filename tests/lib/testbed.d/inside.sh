# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# Part of testbed: namespaces, mounts, and what becomes PID 1.

# Runs in the new mount and network namespaces, still with the host's view of cgroups, and
# becomes the process that holds them open.
inner_setup() {
  mount --make-rprivate /
  if [ -n "$SYSTEMD" ]; then boot_systemd; fi
  if [ -n "$SECOND_BUS" ]; then
    # The one directory of the host's /run that can still be reached once ours covers it.
    mkdir -p "$DIR/bus.d"
    mount --bind "$(dirname "$SECOND_BUS")" "$DIR/bus.d"
  fi
  local list dir
  list=$(hierarchies)
  mount_root "$list"
  for dir in etc/libvirt:/etc/libvirt lib/libvirt:/var/lib/libvirt cache/libvirt:/var/cache/libvirt \
             log/libvirt:/var/log/libvirt; do
    mkdir -p "$DIR/${dir%%:*}"
    mount --bind "$DIR/${dir%%:*}" "${dir#*:}"
  done
  if [ "$STATE" != /var/lib/lodge ]; then
    mount --bind "$STATE" /var/lib/lodge
  fi
  for dir in /usr/libexec /usr/share; do
    if [ "$PREFIX" != / ] && [ -d "$PREFIX$dir/lodge" ]; then
      mount -t overlay -o "lowerdir=$PREFIX$dir:$dir" lodge-testbed "$dir"
    fi
  done
  ip link set lo up
  record_pid holder $$
  exec -a "lodge-testbed $DIR" sleep infinity
}

# A fresh /sys (for the new network namespace), the cgroup hierarchies as this namespace
# sees them, and an empty /run.  $1: hierarchies as the host has them.
mount_root() {
  # Not just hidden: libvirt takes the cgroup mounts from /proc/mounts.
  umount --recursive --lazy /sys
  mount_sys "$1"
  mount_run
}

mount_sys() {
  local version mount opts name link
  mount -t sysfs -o nosuid,nodev,noexec sysfs /sys
  if grep -q ^v1 <<<"$1"; then
    mount -t tmpfs -o mode=755,nosuid,nodev,noexec tmpfs /sys/fs/cgroup
    # No cgroup2 here: libvirt 9.0 takes a hybrid host for a pure v2 one when it sees it.
    while read -r version mount opts; do
      if [ "$version" = v2 ]; then continue; fi
      name=$(basename "$mount")
      mkdir "/sys/fs/cgroup/$name"
      mount -t cgroup -o "$opts,nosuid,nodev,noexec" cgroup "/sys/fs/cgroup/$name"
      for link in ${opts//,/ }; do
        if [ ! -e "/sys/fs/cgroup/$link" ] && [[ $link != name=* ]]; then
          ln -s "$name" "/sys/fs/cgroup/$link"
        fi
      done
    done <<<"$1"
  else
    mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 /sys/fs/cgroup
    mkdir -p /sys/fs/cgroup/services
    echo $$ >/sys/fs/cgroup/services/cgroup.procs
    enable_controllers /sys/fs/cgroup
  fi
}

mount_run() {
  local resolv
  resolv=$(resolv_conf)
  mount -t tmpfs -o mode=755,nosuid,nodev,noexec tmpfs /run
  mkdir -p /run/lock /run/dbus /run/libvirt
  chmod 1777 /run/lock
  if [ -L /etc/resolv.conf ]; then
    mkdir -p "$(dirname "$(readlink -m /etc/resolv.conf)")"
    printf '%s\n' "$resolv" >"$(readlink -m /etc/resolv.conf)"
  else
    printf '%s\n' "$resolv" >"$DIR/etc/resolv.conf"
    mount --bind "$DIR/etc/resolv.conf" /etc/resolv.conf
  fi
}

# The host's name servers that can be reached from another network namespace.
resolv_conf() {
  local file
  for file in /etc/resolv.conf /run/systemd/resolve/resolv.conf; do
    if [ -r "$file" ] && grep '^nameserver' "$file" | grep -qv 'nameserver *127\.'; then
      grep -v '^nameserver *127\.' "$file"
      return
    fi
  done
}

# --systemd: what becomes PID 1.  Its root is an overlay with the host's below, so that whatever
# is installed there is here as well, and nothing that happens here reaches it.
boot_systemd() {
  local box=$DIR/box root=$DIR/box/root dir pid list
  # /proc is still the host's, so this is the process id there.
  read -r pid _ </proc/self/stat
  record_pid holder "$pid"
  list=$(hierarchies)
  resolv=$(resolv_conf)
  mount -t overlay -o "lowerdir=/,upperdir=$box/upper,workdir=$box/work" box "$root"
  for dir in var/tmp root; do mount --bind "/$dir" "$root/$dir"; done
  mkdir -p "$root/var/lib/lodge"
  mount --bind "$STATE" "$root/var/lib/lodge"
  if [ -d "$SOURCE" ]; then mkdir -p "$root$SOURCE"; mount --bind "$SOURCE" "$root$SOURCE"; fi
  mount -t proc -o nosuid,nodev,noexec proc "$root/proc"
  make_dev "$root/dev"
  mount -t tmpfs -o mode=755,nosuid,nodev,noexec tmpfs "$root/run"
  mount -t tmpfs tmpfs "$root/tmp"
  : >"$root/etc/fstab"
  # systemd-machined does not find its machines in a nested PID namespace on cgroup v1.
  rm -f "$root/usr/share/dbus-1/system-services/org.freedesktop.machine1.service"
  rm -f "$root/etc/resolv.conf"
  printf '%s\n' "$resolv" >"$root/etc/resolv.conf"
  mask_units "$root/run/systemd/system"
  mkdir -p "$root/run/host"
  cd "$root" || die "cannot enter $root"
  pivot_root . run/host
  umount --lazy /run/host
  mount_sys "$list"
  hostname testbed
  ip link set lo up
  exec env -i container=lodge-testbed PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    /lib/systemd/systemd --unit=testbed.target --log-target=journal --show-status=no
}

# Devices of our own: udev and gettys must not get at the host's.
make_dev() {
  local node
  mount -t tmpfs -o mode=755,nosuid tmpfs "$1"
  mkdir -p "$1"/{pts,shm,mqueue,net,mapper}
  for node in null zero full random urandom tty kmsg kvm fuse net/tun loop-control loop{0..7}; do
    if [ -e "/dev/$node" ]; then cp -a "/dev/$node" "$1/$node"; fi
  done
  chmod 666 "$1"/{null,zero,full,random,urandom,tty}
  mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts "$1/pts"
  ln -s pts/ptmx "$1/ptmx"
  ln -s /proc/self/fd "$1/fd"
  mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs "$1/shm"
}

# What would change the host's kernel or hardware, and what only costs time.
mask_units() {
  local unit
  mkdir -p "$1"
  for unit in systemd-udevd.service systemd-udevd-control.socket systemd-udevd-kernel.socket \
              systemd-udev-trigger.service systemd-sysctl.service systemd-modules-load.service \
              systemd-random-seed.service systemd-remount-fs.service kmod-static-nodes.service \
              systemd-timesyncd.service getty.target systemd-binfmt.service \
              systemd-tmpfiles-clean.timer systemd-journald-audit.socket lvm2-monitor.service \
              blk-availability.service \
              systemd-tmpfiles-setup-dev.service sys-fs-fuse-connections.mount \
              sys-kernel-config.mount sys-kernel-debug.mount sys-kernel-tracing.mount; do
    ln -s /dev/null "$1/$unit"
  done
  cat >"$1/testbed.target" <<-UNIT
	[Unit]
	Requires=basic.target dbus.service
	After=basic.target dbus.service
	UNIT
}

# nsenter into the testbed, keeping the working directory where it exists there.
enter() {
  local pid
  pid=$(holder) || die "$DIR is not running"
  join_cgroups
  if [ -n "$SYSTEMD" ]; then
    exec nsenter --target "$pid" --mount --net --cgroup --pid --uts --ipc -- \
      env -i TERM="${TERM:-dumb}" LODGE_TESTBED="$DIR" \
      PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"
  fi
  # shellcheck disable=SC2016 # for the shell inside
  exec nsenter --target "$pid" --mount --net --cgroup -- \
    env "PATH=$(inner_path)" DBUS_SYSTEM_BUS_ADDRESS="unix:path=$DIR/bus" \
    LODGE_BUS_ADDRESS="unix:path=$DIR/bus" LODGE_TESTBED="$DIR" \
    sh -c 'cd "$0" 2>/dev/null || cd /; exec "$@"' "$PWD" "$@"
}

inner_path() {
  local path=$PATH root=${PREFIX%/}
  if [ -n "$root" ]; then
    path=$root/usr/bin:$root/usr/sbin:$root/usr/libexec/lodge:$root/usr/local/bin:$path
  fi
  echo "$path:/usr/libexec/lodge"
}
