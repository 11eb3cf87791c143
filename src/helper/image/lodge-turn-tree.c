/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-turn-tree.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lodge-customise.h"
#include "lodge-io.h"

#define SYSTEM   "/etc/systemd/system/"
#define TEXT_MAX (256 * 1024)
#define MARK     "# Lodge: not in a container: "

/* What belongs to hardware.  Masked in a container, which has none; taken back in a VM. */
static const char *const HARDWARE_UNITS[] = {
  "systemd-udevd.service",
  "systemd-udevd-control.socket",
  "systemd-udevd-kernel.socket",
  "systemd-udev-trigger.service",
  "systemd-modules-load.service",
  "systemd-remount-fs.service",
  "systemd-network-generator.service",
  "qemu-guest-agent.service",
  "lvm2-monitor.service",
  "lvm2-lvmpolld.socket",
  "multipathd.service",
  "multipathd.socket",
  "mdmonitor.service",
  "smartmontools.service",
  "irqbalance.service",
  "grub-common.service",
  "grub-initrd-fallback.service",
  "e2scrub_reap.service",
  "kdump-tools.service",
  "dev-hugepages.mount",
  "sys-kernel-config.mount",
  "sys-kernel-debug.mount",
  "sys-kernel-tracing.mount",
};

typedef struct
{
  const LodgeTurnBoot *boot;
  const char *hostname;
} ToVm;

static bool
is_there (const char *path)
{
  struct stat st;
  return stat (path, &st) == 0;
}

static bool
matches (const char *pattern)
{
  glob_t found = { 0 };
  bool ok = glob (pattern, GLOB_NOSORT, NULL, &found) == 0;
  if (ok)
    globfree (&found);
  return ok;
}

static bool
has_systemd (void)
{
  return is_there ("/usr/lib/systemd/systemd") || is_there ("/lib/systemd/systemd");
}

static bool
has_udev (void)
{
  return is_there ("/usr/lib/systemd/systemd-udevd") || is_there ("/lib/systemd/systemd-udevd");
}

/** (transfer full): the text of a small file; NULL when it is not there. */
static char *
read_text (const char *path)
{
  gsize size;
  LODGE_AUTOFD fd = lodge_io_open_regular (AT_FDCWD, path, TEXT_MAX, &size);
  g_autofree char *text = fd >= 0 ? g_malloc (size + 1) : NULL;

  if (text == NULL || lodge_io_read_fd (fd, text, size + 1) < 0)
    return NULL;
  return g_steal_pointer (&text);
}

/** Replaces the text of a file that is there; its owner and mode stay. */
static bool
rewrite (const char *path, const char *text, LodgeFail *fail)
{
  LODGE_AUTOFD fd = open (path, O_WRONLY | O_TRUNC | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  int error = fd >= 0 ? lodge_io_write_all (fd, text, strlen (text)) : -errno;

  return error == 0 || lodge_fail_errno (fail, error, "%s cannot be written", path);
}

/* ---- lines ---- */

typedef bool (*LineFunc) (const char *line, GString *out);

/** Rewrites @path line by line when @func changes one.  @func appends what the line becomes. */
static bool
edit_lines (const char *path, LineFunc func, LodgeFail *fail)
{
  g_autofree char *text = read_text (path);
  if (text == NULL)
    return true;
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);
  g_autoptr (GString) out = g_string_new (NULL);
  bool changed = false;
  for (char **line = lines; *line != NULL; line++)
    {
      changed = func (*line, out) || changed;
      if (line[1] != NULL)
        g_string_append_c (out, '\n');
    }
  return !changed || rewrite (path, out->str, fail);
}

static bool
edit_all (const char *pattern, LineFunc func, LodgeFail *fail)
{
  glob_t found = { 0 };
  bool ok = true;

  if (glob (pattern, 0, NULL, &found) != 0)
    return true;
  for (gsize i = 0; ok && i < found.gl_pathc; i++)
    ok = edit_lines (found.gl_pathv[i], func, fail);
  globfree (&found);
  return ok;
}

static bool
comment_out (const char *line, GString *out)
{
  const char *text = line + strspn (line, " \t");
  bool is_plain = *text == '\0' || *text == '#';

  g_string_append (out, is_plain ? "" : MARK);
  g_string_append (out, line);
  return !is_plain;
}

static bool
comment_in (const char *line, GString *out)
{
  bool is_ours = g_str_has_prefix (line, MARK);

  g_string_append (out, is_ours ? line + strlen (MARK) : line);
  return is_ours;
}

/** A login on a serial port, in inittab(5). */
static bool
comment_out_serial (const char *line, GString *out)
{
  if (strstr (line, "ttyS") != NULL || strstr (line, "hvc0") != NULL)
    return comment_out (line, out);
  g_string_append (out, line);
  return false;
}

/** Whether @word is how a VM's NIC may be called: eno1, ens3, enp1s0, enx525400123456. */
static bool
is_nic (const char *word, gsize length)
{
  if (length < 4 || strncmp (word, "en", 2) != 0 || strchr ("ospx", word[2]) == NULL
      || !isxdigit ((unsigned char) word[3]))
    return false;
  for (gsize i = 3; i < length; i++)
    if (!g_ascii_isalnum (word[i]))
      return false;
  return true;
}

/** The names that interfaces(5) and systemd.network(5) give a NIC become eth0. */
static bool
rename_nic (const char *line, GString *out)
{
  static const char *const KEYS[] = { "auto", "allow-hotplug", "iface", "Name=" };
  const char *text = line + strspn (line, " \t");
  bool ours = false, changed = false;

  for (gsize i = 0; i < G_N_ELEMENTS (KEYS); i++)
    ours = ours || g_str_has_prefix (text, KEYS[i]);
  while (*line != '\0')
    {
      gsize word = strcspn (line, " \t=");
      bool is_name = ours && is_nic (line, word);
      g_string_append_len (out, is_name ? "eth0" : line, is_name ? 4 : (gssize) word);
      changed = changed || is_name;
      line += word;
      if (*line != '\0')
        g_string_append_c (out, *line++);
    }
  return changed;
}

/* ---- network ---- */

/** Whether ifupdown has an interface to look after. */
static bool
has_interface (const char *pattern)
{
  glob_t found = { 0 };
  bool ok = false;

  if (glob (pattern, 0, NULL, &found) != 0)
    return false;
  for (gsize i = 0; i < found.gl_pathc; i++)
    {
      g_autofree char *text = read_text (found.gl_pathv[i]);
      g_auto (GStrv) lines = g_strsplit (text != NULL ? text : "", "\n", -1);
      for (char **line = lines; *line != NULL; line++)
        ok = ok || (g_str_has_prefix (*line, "iface ") && !g_str_has_prefix (*line, "iface lo"));
    }
  globfree (&found);
  return ok;
}

/** Whether something else than networkd looks after the network. */
static bool
has_other_network (void)
{
  bool ifupdown = (is_there ("/sbin/ifup") || is_there ("/usr/sbin/ifup"))
                  && (has_interface ("/etc/network/interfaces")
                      || has_interface ("/etc/network/interfaces.d/*"));

  return ifupdown || matches ("/etc/netplan/*.yaml")
         || matches (SYSTEM "*.wants/NetworkManager.service")
         || matches (SYSTEM "*.wants/connman.service") || matches (SYSTEM "*.wants/dhcpcd.service")
         || matches (SYSTEM "*.wants/wicked*.service");
}

static bool
enable (const char *unit, const char *wanted_by, LodgeFail *fail)
{
  g_autofree char *usr = g_strconcat ("/usr/lib/systemd/system/", unit, NULL);
  g_autofree char *lib = g_strconcat ("/lib/systemd/system/", unit, NULL);
  g_autofree char *link = g_strconcat (SYSTEM, wanted_by, ".wants/", unit, NULL);

  if (!is_there (usr) && !is_there (lib))
    return true;
  return lodge_customise_link (is_there (usr) ? usr : lib, link, fail);
}

/** Where networkd is in charge, or nobody, it asks for an address on the first NIC. */
static bool
set_up_network (LodgeFail *fail)
{
  bool networkd = matches (SYSTEM "*.wants/systemd-networkd.service");

  if (!has_systemd () || (!networkd && has_other_network ()))
    return true;
  if (!lodge_customise_write_one (LODGE_OVERLAY_COMMON,
                                  "/etc/systemd/network/80-lodge-dhcp.network", fail))
    return false;
  return networkd
         || (enable ("systemd-networkd.service", "multi-user.target", fail)
             && enable ("systemd-networkd.socket", "sockets.target", fail));
}

/* ---- a VM ---- */

static bool
write_boot_menu (const LodgeTurnBoot *boot, LodgeFail *fail)
{
  /* net.ifnames=0: the NIC is eth0, as it was in the container.  no_timer_check: see the menu of
   * built images.  Without udev nobody tells that the serial port is there. */
  const char *getty = has_systemd () && !has_udev () ? " systemd.mask=serial-getty@ttyS0.service"
                                                       " systemd.wants=console-getty.service"
                                                     : "";
  g_autofree char *initrd
      = boot->initrd != NULL ? g_strdup_printf ("    initrd %s\n", boot->initrd) : g_strdup ("");
  g_autofree char *text
      = g_strdup_printf ("# Read by the boot loader that Lodge put on the disk.\n"
                         "set timeout=0\nset default=0\nmenuentry \"%s\" {\n"
                         "    linux %s root=LABEL=root rw quiet no_timer_check net.ifnames=0%s "
                         "console=tty0 console=ttyS0\n%s}\n",
                         boot->title, boot->kernel, getty, initrd);
  return lodge_customise_write_text ("/boot/grub/grub.cfg", text, fail);
}

static bool
add_agent (LodgeFail *fail)
{
  return !is_there ("/usr/sbin/qemu-ga")
         || (lodge_customise_write_one (LODGE_OVERLAY_VM,
                                        "/etc/systemd/system/qemu-guest-agent.service", fail)
             && lodge_customise_write_one (LODGE_OVERLAY_VM, "/usr/lib/lodge/virtio-ports", fail)
             && lodge_customise_link (SYSTEM "qemu-guest-agent.service",
                                      SYSTEM "sysinit.target.wants/qemu-guest-agent.service",
                                      fail));
}

/** Units of VMs that Lodge builds, as far as the guest has what they call. */
static bool
add_helpers (LodgeFail *fail)
{
  static const char *const DHCP[] = { SYSTEM "lodge-dhcp.path", SYSTEM "lodge-dhcp.service",
                                      "/usr/lib/lodge/resolv-conf", "/usr/lib/lodge/hostname" };
  static const char *const GROW[]
      = { SYSTEM "lodge-grow-root.service", "/usr/lib/lodge/grow-root" };
  bool dhcp = is_there ("/etc/systemd/network/80-lodge-dhcp.network")
              && !matches (SYSTEM "*.wants/systemd-resolved.service");
  bool grow = is_there ("/sbin/sfdisk") || is_there ("/usr/sbin/sfdisk");
  bool ok = true;

  for (gsize i = 0; ok && dhcp && i < G_N_ELEMENTS (DHCP); i++)
    ok = lodge_customise_write_one (LODGE_OVERLAY_VM, DHCP[i], fail);
  for (gsize i = 0; ok && grow && i < G_N_ELEMENTS (GROW); i++)
    ok = lodge_customise_write_one (LODGE_OVERLAY_VM, GROW[i], fail);
  if (ok && dhcp)
    ok = lodge_customise_link (SYSTEM "lodge-dhcp.path",
                               SYSTEM "multi-user.target.wants/lodge-dhcp.path", fail);
  if (ok && grow)
    ok = lodge_customise_link (SYSTEM "lodge-grow-root.service",
                               SYSTEM "multi-user.target.wants/lodge-grow-root.service", fail);
  return ok;
}

static void
unmask_hardware (void)
{
  for (gsize i = 0; i < G_N_ELEMENTS (HARDWARE_UNITS); i++)
    {
      g_autofree char *path = g_strconcat (SYSTEM, HARDWARE_UNITS[i], NULL);
      g_autofree char *target = g_file_read_link (path, NULL);
      if (g_strcmp0 (target, "/dev/null") == 0)
        unlink (path);
    }
}

/** One more login for inits that read inittab(5), and not on a console that is not there. */
static bool
add_serial_login (LodgeFail *fail)
{
  g_autofree char *text = read_text ("/etc/inittab");

  if (has_systemd () || text == NULL)
    return true;
  if (!edit_lines ("/etc/inittab", comment_in, fail))
    return false;
  g_free (text);
  text = read_text ("/etc/inittab");
  if (text == NULL || strstr (text, "ttyS0") != NULL)
    return true;
  const char *line = is_there ("/bin/busybox") || is_there ("/usr/bin/busybox")
                         ? "ttyS0::respawn:/sbin/getty -L 115200 ttyS0 vt100\n"
                         : "T0:23:respawn:/sbin/getty -L ttyS0 115200 vt100\n";
  g_autofree char *all
      = g_strconcat (text, *text == '\0' || g_str_has_suffix (text, "\n") ? "" : "\n", line, NULL);
  return rewrite ("/etc/inittab", all, fail);
}

static bool
set_hostname (const char *hostname, LodgeFail *fail)
{
  g_autofree char *there = read_text ("/etc/hostname");
  g_autofree char *text = g_strconcat (hostname != NULL ? hostname : "", "\n", NULL);

  if (hostname == NULL || (there != NULL && *g_strstrip (there) != '\0'))
    return true;
  return lodge_customise_write_text ("/etc/hostname", text, fail);
}

static bool
make_vm (gpointer data, LodgeFail *fail)
{
  const ToVm *self = data;

  lodge_customise_undo (LODGE_OVERLAY_CONTAINER);
  unmask_hardware ();
  /* Lines of a container's fstab would be of what it has no more. */
  return edit_lines ("/etc/fstab", comment_out, fail)
         && lodge_customise_write_one (LODGE_OVERLAY_VM, "/etc/fstab", fail)
         && write_boot_menu (self->boot, fail) && set_hostname (self->hostname, fail)
         && set_up_network (fail) && (!has_systemd () || (add_agent (fail) && add_helpers (fail)))
         && add_serial_login (fail);
}

bool
lodge_turn_tree_to_vm (const char *root, const LodgeTurnBoot *boot, const char *hostname,
                       LodgeFail *fail)
{
  ToVm self = { .boot = boot, .hostname = hostname };
  return lodge_customise_in_root (root, make_vm, &self, fail);
}

/* ---- a container ---- */

static bool
mask_hardware (LodgeFail *fail)
{
  for (gsize i = 0; i < G_N_ELEMENTS (HARDWARE_UNITS); i++)
    {
      g_autofree char *path = g_strconcat (SYSTEM, HARDWARE_UNITS[i], NULL);
      if (!lodge_customise_link ("/dev/null", path, fail))
        return false;
    }
  return true;
}

/** Logins on serial ports would wait for them. */
static void
remove_serial_logins (void)
{
  glob_t found = { 0 };

  if (glob (SYSTEM "*.wants/serial-getty@*.service", GLOB_NOSORT, NULL, &found) != 0)
    return;
  for (gsize i = 0; i < found.gl_pathc; i++)
    unlink (found.gl_pathv[i]);
  globfree (&found);
}

static bool
make_container_of_systemd (LodgeFail *fail)
{
  static const char *const FILES[] = {
    SYSTEM "systemd-networkd.service.d/lodge.conf",
    SYSTEM "systemd-logind.service.d/lodge.conf",
  };
  bool ok = mask_hardware (fail);

  remove_serial_logins ();
  for (gsize i = 0; ok && i < G_N_ELEMENTS (FILES); i++)
    ok = lodge_customise_write_one (LODGE_OVERLAY_CONTAINER, FILES[i], fail);
  if (ok && is_there ("/etc/systemd/network/80-lodge-dhcp.network"))
    ok = lodge_customise_write_one (LODGE_OVERLAY_CONTAINER,
                                    "/etc/systemd/network/80-lodge-dhcp.network.d/hostname.conf",
                                    fail);
  return ok;
}

static bool
make_container (gpointer data, LodgeFail *fail)
{
  lodge_customise_undo (LODGE_OVERLAY_VM);
  lodge_customise_undo (LODGE_OVERLAY_VM_EARLY);
  unlink ("/boot/grub/grub.cfg");
  return edit_lines ("/etc/fstab", comment_out, fail)
         && edit_lines ("/etc/crypttab", comment_out, fail)
         && edit_lines ("/etc/network/interfaces", rename_nic, fail)
         && edit_all ("/etc/network/interfaces.d/*", rename_nic, fail)
         && edit_all ("/etc/systemd/network/*.network", rename_nic, fail) && set_up_network (fail)
         && (has_systemd () ? make_container_of_systemd (fail)
                            : edit_lines ("/etc/inittab", comment_out_serial, fail));
}

bool
lodge_turn_tree_to_container (const char *root, LodgeFail *fail)
{
  return lodge_customise_in_root (root, make_container, NULL, fail);
}
