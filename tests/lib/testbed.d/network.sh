# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# Part of testbed: the cable to the host.

# A /30 for the cable to the host; the first one that nothing on the host uses.
choose_subnet() {
  local n base
  for n in $(seq 0 1023); do
    base=10.213.$((n / 64)).$((n % 64 * 4))
    if [ -z "$({ ip -4 route show root "$base/30"; ip -4 route show match "$base/30"; } \
               | sed /^default/d)" ]; then
      echo "${base%.*} ${base##*.}"
      return
    fi
  done
  return 1
}

# The uplink: best effort, for a host that cannot do it still tests everything but the net.
add_uplink() {
  local pid net last
  pid=$(holder)
  exec 8>"$LOCK_DIR/lodge-testbed-net.lock"
  flock 8
  read -r net last < <(choose_subnet) || { note "no free subnet for an uplink"; return 0; }
  SUBNET=$net.$last/30
  if ! ip link add "$VETH" type veth peer name uplink netns "$pid" 2>/dev/null; then
    note "no uplink: this host cannot make veth devices"
    SUBNET=''
    return 0
  fi
  ip addr add "$net.$((last + 1))/30" dev "$VETH"
  ip link set "$VETH" up
  exec 8>&-
  nsenter -t "$pid" -n sh -c "ip addr add $net.$((last + 2))/30 dev uplink && ip link set uplink up &&
    ip route add default via $net.$((last + 1))"
  if [ "$(cat /proc/sys/net/ipv4/ip_forward)" = 0 ] && echo 1 2>/dev/null >/proc/sys/net/ipv4/ip_forward; then
    FORWARD_SET=yes
  fi
  add_nat || note "no way out for the testbed: neither nft nor iptables works here"
}

add_nat() {
  if ! nft -f - 2>/dev/null <<-NFT
	table ip $TABLE {
	  chain postrouting {
	    type nat hook postrouting priority srcnat; policy accept;
	    ip saddr $SUBNET oifname != "$VETH" masquerade
	  }
	}
	NFT
  then
    iptables -t nat -A POSTROUTING -s "$SUBNET" -m comment --comment "$TABLE" -j MASQUERADE \
      2>/dev/null || return 1
  fi
  # Docker and some firewalls drop what is forwarded unless a rule says otherwise.
  if iptables -S FORWARD 2>/dev/null | grep -qx -- '-P FORWARD DROP'; then
    iptables -I FORWARD -i "$VETH" -m comment --comment "$TABLE" -j ACCEPT
    iptables -I FORWARD -o "$VETH" -m comment --comment "$TABLE" -j ACCEPT
  fi
}

remove_uplink() {
  ip link del "$VETH" 2>/dev/null || true
  nft delete table ip "$TABLE" 2>/dev/null || true
  if command -v iptables >/dev/null; then
    remove_rules nat POSTROUTING
    remove_rules filter FORWARD
  fi
  # Another testbed may have started after this one and rely on it.
  if [ -n "$FORWARD_SET" ] && ! ip -br link | grep -q '^ltb'; then
    echo 0 >/proc/sys/net/ipv4/ip_forward || true
  fi
}

remove_rules() {
  local rule
  { iptables -t "$1" -S "$2" 2>/dev/null || true; } | sed -n "/--comment $TABLE /s/^-A/-D/p" \
    | while read -r rule; do
        # shellcheck disable=SC2086 # words of a rule that iptables printed
        iptables -t "$1" $rule || true
      done
}
