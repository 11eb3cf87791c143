/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The definition of a VM for libvirt's qemu driver: virtio devices, the guest agent's channel, a
 * serial console, VNC on the loopback (Cockpit needs TCP).
 */
#include "lodge-cpu-limit.h"
#include "lodge-domain-xml-private.h"

#include <string.h>

typedef struct
{
  LodgeXmlWriter *writer;
  const LodgeDomainSpec *spec;
  const LodgeKvmXmlOptions *options;
  gboolean is_x86;
  gboolean is_pcie;
  const char *cpu; /* a mode of libvirt's; NULL: a model */
} KvmXml;

#define QEMU_NAMESPACE "http://libvirt.org/schemas/domain/qemu/1.0"

static void
write_alias (LodgeXmlWriter *writer, const char *device)
{
  g_autofree char *alias = g_strconcat (LODGE_DEVICE_ALIAS_PREFIX, device, NULL);
  lodge_xml_element (writer, "alias", "name", alias, NULL);
}

static void
write_limits (const KvmXml *self)
{
  guint64 memory = lodge_domain_spec_memory (self->writer, self->spec);
  lodge_xml_uint_element (self->writer, "memory", "KiB",
                          (memory != 0 ? memory : self->options->memory) / 1024);

  guint count = self->options->vcpus;
  g_autofree char *cpuset = NULL;
  const char *limit = lodge_domain_spec_lookup (self->spec, "limits.cpu");
  g_autoptr (GError) local_error = NULL;
  if (limit != NULL && !lodge_cpu_limit_parse (limit, &count, &cpuset, &local_error))
    lodge_xml_fail (self->writer, local_error->code, "%s", local_error->message);
  g_autofree char *vcpus = g_strdup_printf ("%u", count);
  lodge_xml_open (self->writer, "vcpu");
  lodge_xml_attr (self->writer, "placement", "static");
  lodge_xml_attr (self->writer, "cpuset", cpuset);
  lodge_xml_text (self->writer, vcpus);
  lodge_xml_close (self->writer);
}

static const char *
machine_name (const KvmXml *self)
{
  if (self->options->machine != NULL)
    return self->options->machine;
  return self->is_x86 ? "q35" : "virt";
}

static void
write_firmware (const KvmXml *self)
{
  lodge_xml_open (self->writer, "firmware");
  lodge_xml_element (self->writer, "feature", "enabled", "no", "name", "enrolled-keys", NULL);
  lodge_xml_element (self->writer, "feature", "enabled", "no", "name", "secure-boot", NULL);
  lodge_xml_close (self->writer);
  lodge_xml_text_element (self->writer, "nvram", self->options->nvram);
}

static void
write_os (const KvmXml *self)
{
  const char *firmware = lodge_domain_spec_lookup (self->spec, "vm.firmware");
  gboolean is_uefi = g_strcmp0 (firmware, "uefi") == 0 || (firmware == NULL && !self->is_x86);
  lodge_xml_open (self->writer, "os");
  if (is_uefi)
    lodge_xml_attr (self->writer, "firmware", "efi");
  lodge_xml_open (self->writer, "type");
  lodge_xml_attr (self->writer, "arch", self->spec->architecture);
  lodge_xml_attr (self->writer, "machine", machine_name (self));
  lodge_xml_text (self->writer, "hvm");
  lodge_xml_close (self->writer);
  if (is_uefi)
    write_firmware (self);
  /* An empty disk does not boot, and the medium's turn comes; once there is a system on it, the
   * medium may stay. */
  lodge_xml_element (self->writer, "boot", "dev", "hd", NULL);
  if (self->spec->medium_path != NULL)
    lodge_xml_element (self->writer, "boot", "dev", "cdrom", NULL);
  lodge_xml_close (self->writer);
}

static gboolean
is_kvm (const KvmXml *self)
{
  return strcmp (self->options->domain_type, "kvm") == 0;
}

/* Without KVM there is no host to pass through, and QEMU's maximum is what it can emulate. */
static const char *
cpu_mode (const KvmXml *self)
{
  const char *wish = lodge_domain_spec_lookup (self->spec, "vm.cpu");

  if (wish == NULL || strcmp (wish, "auto") == 0)
    return is_kvm (self) ? "host-passthrough" : "maximum";
  if (strcmp (wish, "host") == 0)
    return "host-passthrough";
  return strcmp (wish, "maximum") == 0 ? "maximum" : NULL;
}

/* With KVM libvirt compares a model with what the host can, so that a machine does not start with
 * less than it was promised; QEMU emulates what it can of each. */
static void
write_cpu (const KvmXml *self)
{
  if (self->cpu != NULL)
    {
      lodge_xml_element (self->writer, "cpu", "mode", self->cpu, "check", "none", NULL);
      return;
    }
  lodge_xml_open (self->writer, "cpu");
  lodge_xml_attr (self->writer, "mode", "custom");
  lodge_xml_attr (self->writer, "match", "exact");
  lodge_xml_attr (self->writer, "check", is_kvm (self) ? "partial" : "none");
  lodge_xml_open (self->writer, "model");
  lodge_xml_attr (self->writer, "fallback", "forbid");
  lodge_xml_text (self->writer, lodge_domain_spec_lookup (self->spec, "vm.cpu"));
  lodge_xml_close (self->writer);
  lodge_xml_close (self->writer);
}

/*
 * At each start libvirt asks QEMU for every property of the first processor, some 400 questions
 * that take longer than all the rest of the start, to learn what became of a model.  For the host's
 * processor and for the maximum nobody uses the answer; without the capability libvirt asks the two
 * questions that it asked older QEMUs.
 */
static void
write_capabilities (const KvmXml *self)
{
  if (self->cpu == NULL || !self->is_x86)
    return;
  lodge_xml_open (self->writer, "qemu:capabilities");
  lodge_xml_element (self->writer, "qemu:del", "capability", "cpu-unavailable-features", NULL);
  lodge_xml_close (self->writer);
}

static void
write_platform (const KvmXml *self)
{
  lodge_xml_open (self->writer, "features");
  lodge_xml_element (self->writer, "acpi", NULL);
  if (self->is_x86)
    lodge_xml_element (self->writer, "apic", NULL);
  lodge_xml_close (self->writer);

  write_cpu (self);

  lodge_xml_open (self->writer, "clock");
  lodge_xml_attr (self->writer, "offset", "utc");
  if (self->is_x86)
    {
      lodge_xml_element (self->writer, "timer", "name", "rtc", "tickpolicy", "catchup", NULL);
      lodge_xml_element (self->writer, "timer", "name", "pit", "tickpolicy", "delay", NULL);
      lodge_xml_element (self->writer, "timer", "name", "hpet", "present", "no", NULL);
    }
  lodge_xml_close (self->writer);

  lodge_xml_text_element (self->writer, "on_poweroff", "destroy");
  lodge_xml_text_element (self->writer, "on_reboot", "restart");
  lodge_xml_text_element (self->writer, "on_crash", "destroy");
}

/* Where a chain ends that libvirt must not look for in the file. */
static void
write_end_of_chain (LodgeXmlWriter *writer)
{
  lodge_xml_element (writer, "backingStore", NULL);
}

/* The format is always said, also for the backing files (in the qcow2 header): libvirt and QEMU
 * must never probe what a guest could have written.  Where the format has no place for a backing
 * file, it is said, too, that there is none; the chain of a qcow2 is libvirt's to find. */
static void
write_disk (const KvmXml *self)
{
  const char *format = self->options->disk_format != NULL ? self->options->disk_format : "qcow2";

  lodge_xml_open (self->writer, "disk");
  lodge_xml_attr (self->writer, "type", "file");
  lodge_xml_attr (self->writer, "device", "disk");
  lodge_xml_element (self->writer, "driver", "name", "qemu", "type", format, "discard", "unmap",
                     NULL);
  lodge_xml_element (self->writer, "source", "file", self->spec->disk_path, NULL);
  if (strcmp (format, "raw") == 0)
    write_end_of_chain (self->writer);
  lodge_xml_element (self->writer, "target", "dev", "vda", "bus", "virtio", NULL);
  write_alias (self->writer, "root");
  lodge_xml_close (self->writer);
}

/* Virtio, because the initial ramdisks of small images know nothing else; and the last name there
 * is, so that it is in nobody's way. */
static void
write_seed (const KvmXml *self)
{
  if (self->spec->seed_path == NULL)
    return;
  lodge_xml_open (self->writer, "disk");
  lodge_xml_attr (self->writer, "type", "file");
  lodge_xml_attr (self->writer, "device", "disk");
  lodge_xml_element (self->writer, "driver", "name", "qemu", "type", "raw", NULL);
  lodge_xml_element (self->writer, "source", "file", self->spec->seed_path, NULL);
  write_end_of_chain (self->writer);
  lodge_xml_element (self->writer, "target", "dev", "vdz", "bus", "virtio", NULL);
  lodge_xml_element (self->writer, "readonly", NULL);
  write_alias (self->writer, "seed");
  lodge_xml_close (self->writer);
}

static const char *
drive_bus (const KvmXml *self)
{
  if (!self->is_x86)
    return "scsi";
  return self->is_pcie ? "sata" : "ide";
}

/* Other VMs may have the same medium, so it stays root's: libvirt would give it to QEMU's user. */
static void
write_medium (const KvmXml *self)
{
  gboolean is_ide = strcmp (drive_bus (self), "ide") == 0;

  if (self->spec->medium_path == NULL)
    return;
  lodge_xml_open (self->writer, "disk");
  lodge_xml_attr (self->writer, "type", "file");
  lodge_xml_attr (self->writer, "device", "cdrom");
  lodge_xml_element (self->writer, "driver", "name", "qemu", "type", "raw", NULL);
  lodge_xml_open (self->writer, "source");
  lodge_xml_attr (self->writer, "file", self->spec->medium_path);
  lodge_xml_element (self->writer, "seclabel", "model", "dac", "relabel", "no", NULL);
  lodge_xml_close (self->writer);
  write_end_of_chain (self->writer);
  lodge_xml_element (self->writer, "target", "dev", is_ide ? "hda" : "sda", "bus", drive_bus (self),
                     NULL);
  lodge_xml_element (self->writer, "readonly", NULL);
  write_alias (self->writer, LODGE_DEVICE_MEDIUM);
  lodge_xml_close (self->writer);
}

static void
write_controllers (const KvmXml *self)
{
  gboolean has_scsi = self->spec->medium_path != NULL && strcmp (drive_bus (self), "scsi") == 0;
  /* One port each for disk, seed, NIC, USB, virtio-serial, balloon and rng; libvirt gives them the
   * first ones, so that the spare ones stay free. */
  guint ports = self->options->spare_ports + (self->spec->network != NULL ? 6 : 5)
                + (self->spec->seed_path != NULL ? 1 : 0) + (has_scsi ? 1 : 0);
  if (self->is_pcie && self->options->spare_ports > 0)
    {
      lodge_xml_element (self->writer, "controller", "type", "pci", "index", "0", "model",
                         "pcie-root", NULL);
      for (guint i = 0; i < ports; i++)
        lodge_xml_element (self->writer, "controller", "type", "pci", "model", "pcie-root-port",
                           NULL);
    }
  lodge_xml_element (self->writer, "controller", "type", "usb", "index", "0", "model", "qemu-xhci",
                     NULL);
  if (has_scsi)
    lodge_xml_element (self->writer, "controller", "type", "scsi", "index", "0", "model",
                       "virtio-scsi", NULL);
  lodge_xml_open (self->writer, "controller");
  lodge_xml_attr (self->writer, "type", "virtio-serial");
  lodge_xml_attr (self->writer, "index", "0");
  lodge_xml_close (self->writer);
}

static void
write_interface (const KvmXml *self)
{
  if (self->spec->network == NULL)
    return;
  lodge_xml_open (self->writer, "interface");
  lodge_xml_attr (self->writer, "type", "network");
  lodge_xml_element (self->writer, "mac", "address", self->spec->mac, NULL);
  lodge_xml_element (self->writer, "source", "network", self->spec->network, NULL);
  lodge_xml_element (self->writer, "model", "type", "virtio", NULL);
  write_alias (self->writer, "eth0");
  lodge_xml_close (self->writer);
}

static void
write_console (const KvmXml *self)
{
  lodge_xml_open (self->writer, "serial");
  lodge_xml_attr (self->writer, "type", "pty");
  if (self->options->console_log != NULL)
    lodge_xml_element (self->writer, "log", "file", self->options->console_log, "append", "on",
                       NULL);
  lodge_xml_element (self->writer, "target", "port", "0", NULL);
  lodge_xml_close (self->writer);
  lodge_xml_open (self->writer, "console");
  lodge_xml_attr (self->writer, "type", "pty");
  lodge_xml_element (self->writer, "target", "type", "serial", "port", "0", NULL);
  lodge_xml_close (self->writer);
}

static void
write_channel (const KvmXml *self)
{
  lodge_xml_open (self->writer, "channel");
  lodge_xml_attr (self->writer, "type", "unix");
  lodge_xml_element (self->writer, "target", "type", "virtio", "name", LODGE_CHANNEL_GUEST_AGENT,
                     NULL);
  write_alias (self->writer, "agent");
  lodge_xml_close (self->writer);
}

static void
write_display (const KvmXml *self)
{
  lodge_xml_element (self->writer, "input", "type", "tablet", "bus", "usb", NULL);
  if (!self->is_x86)
    lodge_xml_element (self->writer, "input", "type", "keyboard", "bus", "usb", NULL);
  lodge_xml_open (self->writer, "graphics");
  lodge_xml_attr (self->writer, "type", "vnc");
  lodge_xml_attr (self->writer, "autoport", "yes");
  lodge_xml_attr (self->writer, "listen", "127.0.0.1");
  lodge_xml_element (self->writer, "listen", "type", "address", "address", "127.0.0.1", NULL);
  lodge_xml_close (self->writer);
  lodge_xml_open (self->writer, "video");
  lodge_xml_element (self->writer, "model", "type", "virtio", NULL);
  lodge_xml_close (self->writer);
}

static void
write_helpers (const KvmXml *self)
{
  lodge_xml_open (self->writer, "memballoon");
  lodge_xml_attr (self->writer, "model", "virtio");
  if (self->options->stats_period > 0)
    {
      g_autofree char *period = g_strdup_printf ("%u", self->options->stats_period);
      lodge_xml_element (self->writer, "stats", "period", period, NULL);
    }
  lodge_xml_close (self->writer);
  lodge_xml_open (self->writer, "rng");
  lodge_xml_attr (self->writer, "model", "virtio");
  lodge_xml_open (self->writer, "backend");
  lodge_xml_attr (self->writer, "model", "random");
  lodge_xml_text (self->writer, "/dev/urandom");
  lodge_xml_close (self->writer);
  write_alias (self->writer, "rng");
  lodge_xml_close (self->writer);
}

static void
write_devices (const KvmXml *self)
{
  lodge_xml_open (self->writer, "devices");
  lodge_xml_text_element (self->writer, "emulator", self->options->emulator);
  write_disk (self);
  write_seed (self);
  write_medium (self);
  write_controllers (self);
  write_interface (self);
  write_console (self);
  write_channel (self);
  write_display (self);
  write_helpers (self);
  lodge_xml_close (self->writer);
}

/* QEMU takes a relative name with a colon for an address (nbd:host, json:{}), and one without for
 * a file of the directory that it happens to run in. */
static void
check_files (const KvmXml *self)
{
  const struct
  {
    const char *what;
    const char *path;
  } files[] = { { "disk", self->spec->disk_path },
                { "seed", self->spec->seed_path },
                { "medium", self->spec->medium_path } };

  if (self->spec->disk_path == NULL)
    lodge_xml_fail (self->writer, LODGE_ERROR_INVALID_ARGUMENT, "VM “%s” has no disk",
                    self->spec->name);
  for (gsize i = 0; i < G_N_ELEMENTS (files); i++)
    if (files[i].path != NULL && !g_path_is_absolute (files[i].path))
      lodge_xml_fail (self->writer, LODGE_ERROR_INVALID_ARGUMENT,
                      "the %s of VM “%s” is no absolute path: “%s”", files[i].what,
                      self->spec->name, files[i].path);
}

char *
lodge_domain_xml_kvm (const LodgeDomainSpec *spec, const LodgeKvmXmlOptions *options,
                      GError **error)
{
  g_autoptr (LodgeXmlWriter) writer = lodge_xml_writer_new ();
  KvmXml self = { .writer = writer, .spec = spec, .options = options };
  lodge_domain_write_check (writer, spec);
  check_files (&self);
  self.is_x86 = g_strcmp0 (spec->architecture, "x86_64") == 0
                || g_strcmp0 (spec->architecture, "i686") == 0;
  self.is_pcie = strstr (machine_name (&self), "q35") != NULL
                 || g_str_has_prefix (machine_name (&self), "virt");

  self.cpu = cpu_mode (&self);

  lodge_xml_open (writer, "domain");
  lodge_xml_attr (writer, "type", options->domain_type);
  if (self.cpu != NULL && self.is_x86)
    lodge_xml_attr (writer, "xmlns:qemu", QEMU_NAMESPACE);
  lodge_domain_write_identity (writer, spec);
  write_limits (&self);
  write_os (&self);
  write_platform (&self);
  write_devices (&self);
  write_capabilities (&self);
  lodge_xml_close (writer);
  return lodge_xml_writer_finish (writer, error);
}
