/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Golden files: run with LODGE_TEST_UPDATE=1 to write them anew, and read the difference. */
#include "lodge-domain-xml.h"

#include <glib/gstdio.h>
#include <string.h>

#define UUID "7d3c1c2e-94a5-4a63-9f0c-5f6f1c8f3a11"

typedef struct
{
  LodgeDomainSpec spec;
  LodgeLxcXmlOptions lxc;
  LodgeKvmXmlOptions kvm;
} Fixture;

static void
set_up (Fixture *self, gconstpointer data)
{
  GHashTable *config = g_hash_table_new (g_str_hash, g_str_equal);
  self->spec = (LodgeDomainSpec){
    .uuid = (char *) UUID,
    .name = (char *) "web",
    .config = config,
    .image_fingerprint = (char *) "0123456789abcdef",
    .image_alias = (char *) "debian/12",
    .architecture = (char *) "x86_64",
    .idmap_base = 1065536,
    .idmap_count = 65536,
    .disk_path = (char *) "/var/lib/lodge/pools/default/web.qcow2",
    .network = (char *) "lodgebr0",
    .mac = (char *) "52:54:00:12:34:56",
    .address = (char *) "10.77.0.12",
    .prefix = 24,
    .gateway = (char *) "10.77.0.1",
  };
  self->lxc = (LodgeLxcXmlOptions){
    .root_dir = "/run/lodge/mnt/" UUID,
    .control_dir = "/run/lodge/ctl/" UUID,
    .guest_dir = "/usr/libexec/lodge/guest",
    .host_memory = G_GUINT64_CONSTANT (8) << 30,
    .vcpus = 2,
  };
  self->kvm = (LodgeKvmXmlOptions){
    .domain_type = "kvm",
    .console_log = "/var/lib/lodge/instances/" UUID "/console.log",
    .memory = G_GUINT64_CONSTANT (1) << 30,
    .vcpus = 1,
    .stats_period = 10,
    .spare_ports = 4,
  };
}

static void
tear_down (Fixture *self, gconstpointer data)
{
  g_hash_table_unref (self->spec.config);
}

static void
set_config (Fixture *self, const char *key, const char *value)
{
  g_hash_table_insert (self->spec.config, (char *) key, (char *) value);
}

static void
assert_golden (const char *name, const char *xml)
{
  g_autofree char *path = g_build_filename (TEST_DATA_DIR, name, NULL);
  g_autoptr (GError) error = NULL;
  if (g_getenv ("LODGE_TEST_UPDATE") != NULL)
    g_file_set_contents (path, xml, -1, &error);
  g_assert_no_error (error);
  g_autofree char *expected = NULL;
  g_file_get_contents (path, &expected, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (xml, ==, expected);
}

/* libvirt's own RelaxNG, where its command is installed. */
static void
assert_schema (const char *xml)
{
  g_autofree char *program = g_find_program_in_path ("virt-xml-validate");
  if (program == NULL)
    return;
  g_autofree char *path = NULL;
  g_autoptr (GError) error = NULL;
  int fd = g_file_open_tmp ("lodge-xml-XXXXXX.xml", &path, &error);
  g_assert_no_error (error);
  g_close (fd, NULL);
  g_file_set_contents (path, xml, -1, &error);
  g_assert_no_error (error);
  g_autofree char *output = NULL;
  g_autofree char *problems = NULL;
  int status = -1;
  const char *argv[] = { program, path, "domain", NULL };
  g_spawn_sync (NULL, (char **) argv, NULL, G_SPAWN_DEFAULT, NULL, NULL, &output, &problems,
                &status, &error);
  g_assert_no_error (error);
  if (status != 0)
    g_test_message ("%s%s", output, problems);
  g_assert_cmpint (status, ==, 0);
  g_unlink (path);
}

static void
check_lxc (Fixture *self, const char *golden)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *xml = lodge_domain_xml_lxc (&self->spec, &self->lxc, &error);
  g_assert_no_error (error);
  assert_golden (golden, xml);
  assert_schema (xml);
}

static void
check_kvm (Fixture *self, const char *golden)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *xml = lodge_domain_xml_kvm (&self->spec, &self->kvm, &error);
  g_assert_no_error (error);
  assert_golden (golden, xml);
  assert_schema (xml);
}

static void
assert_has (Fixture *self, const char *part, gboolean expected)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *xml = lodge_domain_xml_kvm (&self->spec, &self->kvm, &error);
  g_assert_no_error (error);
  if ((strstr (xml, part) != NULL) != expected)
    g_error ("“%s” is%s in %s", part, expected ? " not" : "", xml);
  assert_schema (xml);
}

static void
test_lxc_plain (Fixture *self, gconstpointer data)
{
  check_lxc (self, "lxc-plain.xml");
}

static void
test_lxc_full (Fixture *self, gconstpointer data)
{
  set_config (self, "limits.memory", "200MiB");
  set_config (self, "limits.cpu", "1");
  set_config (self, "user.note", "a < b & \"c\" 'd'\nsecond line");
  self->spec.os_id = (char *) "http://debian.org/debian/12";
  self->lxc.emulator = "/usr/lib/libvirt/libvirt_lxc";
  self->lxc.vcpus = 1;
  self->lxc.cpuset = "1";
  self->lxc.limit_swap = TRUE;
  check_lxc (self, "lxc-full.xml");
}

static void
test_lxc_offline (Fixture *self, gconstpointer data)
{
  self->spec.network = NULL;
  self->spec.image_fingerprint = NULL;
  self->lxc.guest_dir = NULL;
  check_lxc (self, "lxc-offline.xml");
}

static void
test_kvm_plain (Fixture *self, gconstpointer data)
{
  check_kvm (self, "kvm-plain.xml");
}

static void
test_kvm_seed (Fixture *self, gconstpointer data)
{
  self->spec.seed_path = (char *) "/var/lib/lodge/instances/" UUID "/seed.iso";
  check_kvm (self, "kvm-seed.xml");
}

static void
test_kvm_medium (Fixture *self, gconstpointer data)
{
  g_autoptr (GError) error = NULL;

  self->spec.medium_path = (char *) "/var/lib/lodge/images/0123/disk.iso";
  check_kvm (self, "kvm-medium.xml");
  self->kvm.machine = "pc";
  assert_has (self, "<target dev=\"hda\" bus=\"ide\"/>", TRUE);
  self->kvm.machine = NULL;
  self->spec.architecture = (char *) "aarch64";
  assert_has (self, "<target dev=\"sda\" bus=\"scsi\"/>", TRUE);
  assert_has (self, "virtio-scsi", TRUE);

  g_autofree char *xml = lodge_domain_xml_kvm (&self->spec, &self->kvm, &error);
  g_autofree char *drive = lodge_domain_xml_empty_drive (xml, &error);
  g_assert_no_error (error);
  g_assert_nonnull (strstr (drive, "device=\"cdrom\""));
  g_assert_null (strstr (drive, "<source"));
  self->spec.medium_path = NULL;
  g_autofree char *without = lodge_domain_xml_kvm (&self->spec, &self->kvm, &error);
  g_assert_null (lodge_domain_xml_empty_drive (without, &error));
  g_assert_no_error (error);
}

static void
test_kvm_uefi_tcg (Fixture *self, gconstpointer data)
{
  set_config (self, "limits.memory", "2GiB");
  set_config (self, "limits.cpu", "0-1");
  set_config (self, "vm.firmware", "uefi");
  self->kvm.domain_type = "qemu";
  self->kvm.emulator = "/usr/bin/qemu-system-x86_64";
  self->kvm.nvram = "/var/lib/lodge/instances/" UUID "/nvram";
  check_kvm (self, "kvm-uefi-tcg.xml");
}

static void
test_kvm_foreign_architecture (Fixture *self, gconstpointer data)
{
  self->spec.architecture = (char *) "aarch64";
  self->spec.network = NULL;
  self->kvm.domain_type = "qemu";
  check_kvm (self, "kvm-aarch64.xml");
}

/* libvirt asks QEMU 400 questions about a processor when it starts: only where it is a model. */
static void
test_kvm_cpu (Fixture *self, gconstpointer data)
{
  static const struct
  {
    const char *type;
    const char *wish;
    const char *cpu;
    gboolean is_model;
  } rows[] = {
    { "kvm", "auto", "<cpu mode=\"host-passthrough\" check=\"none\"/>", FALSE },
    { "qemu", "auto", "<cpu mode=\"maximum\" check=\"none\"/>", FALSE },
    { "kvm", "host", "<cpu mode=\"host-passthrough\" check=\"none\"/>", FALSE },
    { "kvm", "maximum", "<cpu mode=\"maximum\" check=\"none\"/>", FALSE },
    { "kvm", "EPYC", "<cpu mode=\"custom\" match=\"exact\" check=\"partial\">", TRUE },
    { "qemu", "EPYC", "<cpu mode=\"custom\" match=\"exact\" check=\"none\">", TRUE },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++)
    {
      set_config (self, "vm.cpu", rows[i].wish);
      self->kvm.domain_type = rows[i].type;
      assert_has (self, rows[i].cpu, TRUE);
      assert_has (self, "<model fallback=\"forbid\">EPYC</model>", rows[i].is_model);
      assert_has (self, "cpu-unavailable-features", !rows[i].is_model);
    }
}

/* The part of the definition with the disk of @alias. */
static char *
find_drive (const char *xml, const char *alias)
{
  g_auto (GStrv) drives = g_strsplit (xml, "<disk ", -1);

  for (guint i = 1; drives[i] != NULL; i++)
    {
      char *end = strstr (drives[i], "</disk>");
      g_assert_nonnull (end);
      *end = '\0';
      if (strstr (drives[i], alias) != NULL)
        return g_strdup (drives[i]);
    }
  g_error ("there is no %s in %s", alias, xml);
}

/* D06: what a guest has written into a raw disk, or what lies on a medium, is never taken for a
 * header that names a backing file; a qcow2 has one, which libvirt must find to let QEMU open it.
 */
static void
test_d06_no_probing (Fixture *self, gconstpointer data)
{
  static const struct
  {
    const char *format;
    const char *alias;
    gboolean is_end;
  } rows[] = { { NULL, "ua-lodge-root", FALSE },  { "qcow2", "ua-lodge-root", FALSE },
               { "raw", "ua-lodge-root", TRUE },  { NULL, "ua-lodge-seed", TRUE },
               { "raw", "ua-lodge-seed", TRUE },  { NULL, "ua-lodge-medium", TRUE },
               { "raw", "ua-lodge-medium", TRUE } };

  self->spec.seed_path = (char *) "/var/lib/lodge/instances/" UUID "/seed.iso";
  self->spec.medium_path = (char *) "/var/lib/lodge/images/0123/disk.iso";
  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++)
    {
      g_autoptr (GError) error = NULL;
      self->kvm.disk_format = rows[i].format;
      g_autofree char *xml = lodge_domain_xml_kvm (&self->spec, &self->kvm, &error);
      g_assert_no_error (error);
      g_autofree char *drive = find_drive (xml, rows[i].alias);
      g_assert_true (g_str_has_prefix (drive, "type=\"file\""));
      g_assert_nonnull (strstr (drive, "<driver name=\"qemu\" type="));
      g_assert_cmpint (strstr (drive, "<backingStore/>") != NULL, ==, rows[i].is_end);
      assert_schema (xml);
    }
}

/* D11: a name that QEMU would take for an address is the name of a file. */
static void
test_d11_names (Fixture *self, gconstpointer data)
{
  static const char *const names[] = { "nbd:127.0.0.1:1", "json:{}", "a:b", "a,b", "disk.qcow2" };
  char **const places[] = { &self->spec.disk_path, &self->spec.seed_path, &self->spec.medium_path };

  for (gsize i = 0; i < G_N_ELEMENTS (names); i++)
    for (gsize j = 0; j < G_N_ELEMENTS (places); j++)
      {
        g_autoptr (GError) error = NULL;
        g_autofree char *path = g_strconcat ("/srv/", names[i], NULL);
        g_autofree char *source = g_strdup_printf ("<source file=\"%s\"", path);
        char *before = *places[j];
        *places[j] = path;
        assert_has (self, source, TRUE);
        *places[j] = (char *) names[i];
        g_assert_null (lodge_domain_xml_kvm (&self->spec, &self->kvm, &error));
        g_assert_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT);
        g_assert_nonnull (strstr (error->message, names[i]));
        *places[j] = before;
      }
}

static void
test_metadata_hides_secrets (Fixture *self, gconstpointer data)
{
  set_config (self, "cloud-init.user-data", "password: hunter2");
  set_config (self, "environment.TOKEN", "hunter2");
  set_config (self, "limits.cpu", "1");
  g_autoptr (GError) error = NULL;
  g_autofree char *xml = lodge_domain_metadata_xml (&self->spec, &error);
  g_assert_no_error (error);
  g_assert_null (strstr (xml, "hunter2"));
  g_assert_nonnull (strstr (xml, "limits.cpu"));
}

/* Every text that comes from outside, with all that could break out of its place. */
static void
test_injection (Fixture *self, gconstpointer data)
{
  const char *hostile = "/x'\"><evil a='1'/>&amp;&lt;]]>\n<!-- \xe2\x80\xae";
  self->spec.image_alias = (char *) hostile;
  self->spec.network = (char *) hostile;
  self->spec.disk_path = (char *) hostile;
  self->spec.os_id = (char *) hostile;
  self->spec.gateway = (char *) hostile;
  self->lxc.root_dir = self->lxc.control_dir = self->lxc.guest_dir = hostile;
  self->kvm.console_log = hostile;
  self->kvm.emulator = hostile;
  self->lxc.emulator = hostile;
  set_config (self, "user.x", hostile);
  set_config (self, hostile, "v");

  g_autoptr (GError) error = NULL;
  g_autofree char *lxc = lodge_domain_xml_lxc (&self->spec, &self->lxc, &error);
  g_assert_no_error (error);
  g_autofree char *kvm = lodge_domain_xml_kvm (&self->spec, &self->kvm, &error);
  g_assert_no_error (error);
  const char *documents[] = { lxc, kvm };
  for (guint i = 0; i < 2; i++)
    {
      g_assert_null (strstr (documents[i], "<evil"));
      g_autoptr (LodgeDomainMetadata) metadata = NULL;
      g_assert_true (lodge_domain_metadata_read (documents[i], &metadata, &error));
      g_assert_no_error (error);
      g_assert_cmpstr (metadata->image_alias, ==, hostile);
      g_assert_cmpstr (g_hash_table_lookup (metadata->config, "user.x"), ==, hostile);
      g_assert_cmpstr (g_hash_table_lookup (metadata->config, hostile), ==, "v");
    }
  g_autofree char *disk = lodge_domain_xml_disk_path (kvm, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (disk, ==, hostile);
}

typedef void (*SpoilFunc) (Fixture *self);

static void
spoil_control_character (Fixture *self)
{
  set_config (self, "user.x", "a\x1b[31m");
}
static void
spoil_utf8 (Fixture *self)
{
  self->spec.image_alias = (char *) "a\xff";
}
static void
spoil_name (Fixture *self)
{
  self->spec.name = (char *) "a b";
}
static void
spoil_uuid (Fixture *self)
{
  self->spec.uuid = (char *) "../../etc";
}
static void
spoil_mac (Fixture *self)
{
  self->spec.mac = (char *) "52:54:00:12:34:5x";
}
static void
spoil_idmap (Fixture *self)
{
  self->spec.idmap_base = 0;
}
static void
spoil_idmap_count (Fixture *self)
{
  self->spec.idmap_count = 1000;
}
static void
spoil_idmap_end (Fixture *self)
{
  self->spec.idmap_base = G_MAXUINT32 - 1000;
}
static void
spoil_memory (Fixture *self)
{
  set_config (self, "limits.memory", "-1");
}
static void
spoil_tiny_memory (Fixture *self)
{
  set_config (self, "limits.memory", "12");
}

static void
test_refused (Fixture *self, gconstpointer data)
{
  static const struct
  {
    SpoilFunc func;
    LodgeErrorCode code;
  } rows[] = {
    { spoil_control_character, LODGE_ERROR_INVALID_ARGUMENT },
    { spoil_utf8, LODGE_ERROR_INVALID_ARGUMENT },
    { spoil_name, LODGE_ERROR_INVALID_NAME },
    { spoil_uuid, LODGE_ERROR_INVALID_ARGUMENT },
    { spoil_mac, LODGE_ERROR_INVALID_ARGUMENT },
    { spoil_idmap, LODGE_ERROR_INVALID_ARGUMENT },
    { spoil_idmap_count, LODGE_ERROR_INVALID_ARGUMENT },
    { spoil_idmap_end, LODGE_ERROR_INVALID_ARGUMENT },
    { spoil_memory, LODGE_ERROR_INVALID_CONFIG },
    { spoil_tiny_memory, LODGE_ERROR_INVALID_CONFIG },
  };
  for (guint i = 0; i < G_N_ELEMENTS (rows); i++)
    {
      Fixture copy = { 0 };
      set_up (&copy, NULL);
      rows[i].func (&copy);
      g_autoptr (GError) error = NULL;
      g_autofree char *xml = lodge_domain_xml_lxc (&copy.spec, &copy.lxc, &error);
      g_assert_null (xml);
      g_assert_error (error, LODGE_ERROR, (int) rows[i].code);
      tear_down (&copy, NULL);
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(path, func) g_test_add (path, Fixture, NULL, set_up, func, tear_down)
  ADD ("/domain-xml/lxc/plain", test_lxc_plain);
  ADD ("/domain-xml/lxc/full", test_lxc_full);
  ADD ("/domain-xml/lxc/offline", test_lxc_offline);
  ADD ("/domain-xml/kvm/plain", test_kvm_plain);
  ADD ("/domain-xml/kvm/seed", test_kvm_seed);
  ADD ("/domain-xml/kvm/medium", test_kvm_medium);
  ADD ("/domain-xml/kvm/uefi-tcg", test_kvm_uefi_tcg);
  ADD ("/domain-xml/kvm/foreign-architecture", test_kvm_foreign_architecture);
  ADD ("/domain-xml/kvm/cpu", test_kvm_cpu);
  ADD ("/domain-xml/kvm/d06-no-probing", test_d06_no_probing);
  ADD ("/domain-xml/kvm/d11-names", test_d11_names);
  ADD ("/domain-xml/metadata/hides-secrets", test_metadata_hides_secrets);
  ADD ("/domain-xml/injection", test_injection);
  ADD ("/domain-xml/refused", test_refused);
#undef ADD
  return g_test_run ();
}
