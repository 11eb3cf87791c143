/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <glib/gstdio.h>
#include <libvirt/libvirt.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lodge-fd.h"
#include "lodge-kvm-driver.h"

/*
 * The life of a virtual machine that is one boot sector, through the driver, with a libvirt that
 * lives in this process: by emulation, and by KVM where /dev/kvm opens.  The sector says
 * "LODGE" on the serial line and then echoes what it gets.
 */

#define UUID      "0d6b2f4e-5a52-4c1b-9d51-6a4c7e1f2a30"
#define NAME      "lodge-test-life"
#define DISK_SIZE (1024 * 1024) /* a BIOS does not boot from less than a cylinder */

/*
 *        cli; xor %ax, %ax; mov %ax, %ds; mov %ax, %ss; mov $0x7c00, %sp; sti; mov $msg, %si
 *     1: lodsb; test %al, %al; jz 2f; call putc; jmp 1b
 *     2: mov $0x3fd, %dx; in %dx, %al; test $1, %al; jnz 3f; hlt; jmp 2b
 *     3: mov $0xf8, %dl; in %dx, %al; call putc; jmp 2b
 *  putc: mov $0x3f8, %dx; out %al, %dx; ret
 *   msg: .asciz "LODGE\r\n"
 */
static const guint8 boot_sector[] = {
  0xfa, 0x31, 0xc0, 0x8e, 0xd8, 0x8e, 0xd0, 0xbc, 0x00, 0x7c, 0xfb, 0xbe, 0x30, 0x7c,
  0xac, 0x84, 0xc0, 0x74, 0x05, 0xe8, 0x15, 0x00, 0xeb, 0xf6, 0xba, 0xfd, 0x03, 0xec,
  0xa8, 0x01, 0x75, 0x03, 0xf4, 0xeb, 0xf5, 0xb2, 0xf8, 0xec, 0xe8, 0x02, 0x00, 0xeb,
  0xed, 0xba, 0xf8, 0x03, 0xee, 0xc3, 0x4c, 0x4f, 0x44, 0x47, 0x45, 0x0d, 0x0a, 0x00,
};

typedef struct
{
  char *root;
  LodgeDriver *driver;
  GMainLoop *loop;
  gboolean connected;
  GMutex lock;
  GCond changed;
  GHashTable *events; /* LodgeDomainEvent */
} World;

static void
on_event (LodgeDriver *driver, LodgeDomainEvent event, const char *uuid, gpointer user_data)
{
  World *world = user_data;

  g_mutex_lock (&world->lock);
  world->connected |= event == LODGE_DOMAIN_EVENT_CONNECTED;
  if (uuid != NULL && strcmp (uuid, UUID) == 0)
    g_hash_table_add (world->events, GINT_TO_POINTER (event));
  g_cond_signal (&world->changed);
  g_mutex_unlock (&world->lock);
}

static LodgeDomainSpec *
make_spec (World *world, const char *accel)
{
  LodgeDomainSpec *spec = lodge_domain_spec_new ();

  spec->uuid = g_strdup (UUID);
  spec->name = g_strdup (NAME);
  spec->kind = LODGE_KIND_VM;
  spec->architecture = g_strdup ("x86_64");
  spec->disk_path = g_build_filename (world->root, "disk.qcow2", NULL);
  spec->instance_dir = g_build_filename (world->root, "state", "instances", UUID, NULL);
  spec->run_dir = g_strdup (world->root);
  g_hash_table_insert (spec->config, g_strdup ("limits.memory"), g_strdup ("32MiB"));
  g_hash_table_insert (spec->config, g_strdup ("limits.cpu"), g_strdup ("1"));
  g_hash_table_insert (spec->config, g_strdup ("vm.accel"), g_strdup (accel));
  return spec;
}

static void
make_disk (World *world)
{
  g_autofree char *raw = g_build_filename (world->root, "disk.raw", NULL);
  g_autofree char *disk = g_build_filename (world->root, "disk.qcow2", NULL);
  g_autofree guint8 *sector = g_malloc0 (DISK_SIZE);
  g_autoptr (GError) error = NULL;
  const char *argv[] = { "qemu-img", "convert", "-q", "-f", "raw", "-O", "qcow2", raw, disk, NULL };

  memcpy (sector, boot_sector, sizeof boot_sector);
  sector[510] = 0x55;
  sector[511] = 0xaa;
  g_assert_true (g_file_set_contents (raw, (const char *) sector, DISK_SIZE, &error));
  g_assert_no_error (error);
  g_assert_true (g_spawn_sync (NULL, (char **) argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL,
                               NULL, NULL, &error));
  g_assert_no_error (error);
}

/* A libvirt of our own: no virtlogd, no security driver, no other user that /dev/kvm and the
 * temporary directory would have to be open to. */
static void
make_config (World *world)
{
  static const char text[] = "stdio_handler = \"file\"\n"
                             "security_driver = \"none\"\n"
                             "user = \"root\"\n"
                             "group = \"root\"\n";
  g_autofree char *directory = g_build_filename (world->root, "etc", NULL);
  g_autofree char *path = g_build_filename (directory, "qemu.conf", NULL);

  g_assert_cmpint (g_mkdir (directory, 0755), ==, 0);
  g_assert_true (g_file_set_contents (path, text, -1, NULL));
}

static LodgeState
state_of (World *world)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (LodgeDomainInfo) info = lodge_driver_lookup (world->driver, UUID, &error);

  g_assert_no_error (error);
  g_assert_cmpstr (info->uuid, ==, UUID);
  g_assert_true (info->managed);
  return info->state;
}

/* What the serial line has said, by the log that QEMU writes. */
static void
wait_for_text (World *world, const char *text, int seconds)
{
  gint64 deadline = g_get_monotonic_time () + seconds * G_USEC_PER_SEC;

  while (g_get_monotonic_time () < deadline)
    {
      g_auto (LodgeFd) fd = lodge_driver_open_console_log (world->driver, UUID, NULL);
      g_autofree char *said = fd >= 0 ? lodge_fd_read_all (fd, 65536, NULL, NULL) : NULL;
      if (said != NULL && strstr (said, text) != NULL)
        return;
      g_usleep (50000);
    }
  g_error ("the machine did not say '%s'", text);
}

#define ASSERT_OK(call)                                                                            \
  do                                                                                               \
    {                                                                                              \
      g_autoptr (GError) call_error = NULL;                                                        \
      GError **failure = &call_error;                                                              \
      gboolean call_ok = (call);                                                                   \
      g_assert_no_error (call_error);                                                              \
      g_assert_true (call_ok);                                                                     \
    }                                                                                              \
  while (0)

static void
type_at_console (World *world, const char *text)
{
  g_autoptr (GError) error = NULL;
  g_auto (LodgeFd) fd = lodge_driver_open_console (world->driver, UUID, &error);
  gsize length = strlen (text);

  g_assert_no_error (error);
  g_assert_cmpint (write (fd, text, length), ==, (gssize) length);
  wait_for_text (world, text, 30);
}

static void
live (World *world)
{
  g_autoptr (GError) error = NULL;

  ASSERT_OK (lodge_driver_power_on (world->driver, UUID, NULL, failure));
  g_assert_cmpint (state_of (world), ==, LODGE_STATE_RUNNING);
  g_assert_false (lodge_driver_power_on (world->driver, UUID, NULL, &error));
  g_assert_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_STATE);
  wait_for_text (world, "LODGE", 60);
  type_at_console (world, "wxyz");
  ASSERT_OK (lodge_driver_pause (world->driver, UUID, failure));
  g_assert_cmpint (state_of (world), ==, LODGE_STATE_PAUSED);
  ASSERT_OK (lodge_driver_resume (world->driver, UUID, failure));
  g_assert_cmpint (state_of (world), ==, LODGE_STATE_RUNNING);
  g_autoptr (LodgeUsage) usage = lodge_driver_get_usage (world->driver, UUID, NULL);
  g_assert_nonnull (usage);
  g_assert_cmpint (usage->memory_limit, ==, 32 * 1024 * 1024);
  ASSERT_OK (lodge_driver_kill (world->driver, UUID, failure));
  g_assert_cmpint (state_of (world), ==, LODGE_STATE_STOPPED);
  ASSERT_OK (lodge_driver_kill (world->driver, UUID, failure));
}

static void
end (World *world)
{
  g_autoptr (GError) error = NULL;

  ASSERT_OK (lodge_driver_rename (world->driver, UUID, NAME "-2", failure));
  g_autoptr (LodgeDomainInfo) info = lodge_driver_lookup_name (world->driver, NAME "-2", &error);
  g_assert_no_error (error);
  g_assert_cmpstr (info->uuid, ==, UUID);
  ASSERT_OK (lodge_driver_undefine (world->driver, UUID, failure));
  ASSERT_OK (lodge_driver_undefine (world->driver, UUID, failure));
  g_assert_null (lodge_driver_lookup (world->driver, UUID, &error));
  g_assert_error (error, LODGE_ERROR, LODGE_ERROR_NOT_FOUND);
}

static void
live_by_emulation (World *world)
{
  g_autoptr (LodgeDomainSpec) spec = make_spec (world, "tcg");

  ASSERT_OK (lodge_driver_define (world->driver, spec, NULL, NULL, failure));
  ASSERT_OK (lodge_driver_define (world->driver, spec, NULL, NULL, failure));
  live (world);

  /* Another machine of the name. */
  g_autoptr (LodgeDomainSpec) other = make_spec (world, "tcg");
  g_autoptr (GError) error = NULL;
  other->uuid[0] = '1';
  g_assert_false (lodge_driver_define (world->driver, other, NULL, NULL, &error));
  g_assert_error (error, LODGE_ERROR, LODGE_ERROR_ALREADY_EXISTS);
  end (world);
}

static void
assert_cpu_refused (World *world, const char *cpu, int code, const char *says)
{
  g_autoptr (LodgeDomainSpec) spec = make_spec (world, "tcg");
  g_autoptr (GError) error = NULL;

  g_hash_table_insert (spec->config, g_strdup ("vm.cpu"), g_strdup (cpu));
  g_assert_false (lodge_driver_define (world->driver, spec, NULL, NULL, &error));
  g_assert_error (error, LODGE_ERROR, code);
  g_assert_nonnull (strstr (error->message, says));
}

static void
refuse_processors (World *world)
{
  assert_cpu_refused (world, "qemu65", LODGE_ERROR_INVALID_CONFIG, "did you mean qemu64?");
  assert_cpu_refused (world, "maximun", LODGE_ERROR_INVALID_CONFIG, "did you mean maximum?");
  assert_cpu_refused (world, "host", LODGE_ERROR_NOT_SUPPORTED, "vm.cpu=maximum");
}

static void
live_by_kvm (World *world)
{
  g_autoptr (LodgeDomainSpec) spec = make_spec (world, "kvm");

  if (g_access ("/dev/kvm", R_OK | W_OK) != 0)
    {
      g_test_message ("/dev/kvm cannot be opened: only by emulation");
      return;
    }
  /* There are hosts whose KVM runs a boot sector but dies of their own CPU's model. */
  g_hash_table_insert (spec->config, g_strdup ("vm.cpu"), g_strdup ("kvm64"));
  ASSERT_OK (lodge_driver_define (world->driver, spec, NULL, NULL, failure));
  live (world);
  end (world);
}

static gpointer
live_thread (gpointer data)
{
  World *world = data;

  g_mutex_lock (&world->lock);
  while (!world->connected)
    g_cond_wait (&world->changed, &world->lock);
  g_mutex_unlock (&world->lock);
  refuse_processors (world);
  live_by_emulation (world);
  live_by_kvm (world);
  g_main_loop_quit (world->loop);
  return NULL;
}

static void
test_life (void)
{
  g_autofree char *program = g_find_program_in_path ("qemu-system-x86_64");
  g_autoptr (GError) error = NULL;
  World world = { 0 };

  if (geteuid () != 0 || program == NULL)
    {
      g_test_skip ("needs root and qemu-system-x86_64");
      return;
    }
  world.root = g_dir_make_tmp ("lodge-life-XXXXXX", &error);
  g_assert_no_error (error);
  g_assert_cmpint (g_chmod (world.root, 0755), ==, 0);
  g_autofree char *instance = g_build_filename (world.root, "state", "instances", UUID, NULL);
  g_assert_cmpint (g_mkdir_with_parents (instance, 0755), ==, 0);
  make_disk (&world);
  make_config (&world);
  g_mutex_init (&world.lock);
  g_cond_init (&world.changed);
  world.events = g_hash_table_new (NULL, NULL);
  world.loop = g_main_loop_new (NULL, FALSE);

  g_autofree char *uri = g_strconcat ("qemu:///embed?root=", world.root, NULL);
  g_autofree char *state = g_build_filename (world.root, "state", NULL);
  world.driver = lodge_kvm_driver_new (uri, state, world.root, "/nonexistent", &error);
  g_assert_no_error (error);
  /* The first one starts libvirt's drivers, which must not be done by two threads at once. */
  virConnectPtr first = virConnectOpen (uri);
  g_assert_nonnull (first);
  lodge_driver_set_event_func (world.driver, on_event, &world);
  lodge_driver_start (world.driver);
  GThread *thread = g_thread_new ("life", live_thread, &world);
  g_main_loop_run (world.loop);
  g_thread_join (thread);
  while (!g_hash_table_contains (world.events, GINT_TO_POINTER (LODGE_DOMAIN_EVENT_UNDEFINED)))
    g_main_context_iteration (NULL, TRUE);
  g_assert_true (
      g_hash_table_contains (world.events, GINT_TO_POINTER (LODGE_DOMAIN_EVENT_CHANGED)));

  g_clear_object (&world.driver);
  virConnectClose (first);
  while (g_main_context_iteration (NULL, FALSE))
    ;
  g_assert_true (lodge_tree_remove (world.root, &error));
  g_assert_no_error (error);
  g_main_loop_unref (world.loop);
  g_hash_table_unref (world.events);
  g_free (world.root);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/kvm/life", test_life);
  return g_test_run ();
}
