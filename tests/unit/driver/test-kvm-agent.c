/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <libvirt/libvirt-qemu.h>
#include <libvirt/virterror.h>
#include <string.h>

#include "lodge-kvm-agent.h"
#include "lodge-virt-error.h"

/*
 * Agents that answer, hang and come back: libvirt's own call is replaced by a fake agent, in six
 * domains of its test driver.  The last digit of a UUID says which one it is.
 */

#define N_GUESTS     6
#define UUID         "1f0c6a52-6a0e-4a59-8d2f-5f3b8a0c510%u"
#define HANG_SECONDS 2

typedef struct
{
  GMutex lock;
  guint in_flight;
  guint most_in_flight;
  guint calls[N_GUESTS];
  gboolean hangs[N_GUESTS];
} FakeAgents;

/* libvirt's function has no room for a context of the test's. */
static FakeAgents *
fake_agents (void)
{
  static FakeAgents agents;
  return &agents;
}

/* Whether the last call of this thread was to an agent that hangs. */
static GPrivate *
has_failed (void)
{
  static GPrivate failed;
  return &failed;
}

virErrorPtr
virGetLastError (void)
{
  static virError unresponsive = { .code = VIR_ERR_AGENT_UNRESPONSIVE,
                                   .domain = VIR_FROM_QEMU,
                                   .level = VIR_ERR_ERROR,
                                   .message = (char *) "Guest agent is not responding" };

  return g_private_get (has_failed ()) != NULL ? &unresponsive : NULL;
}

char *
virDomainQemuAgentCommand (virDomainPtr domain, const char *command, int timeout,
                           unsigned int flags)
{
  FakeAgents *fake = fake_agents ();
  char uuid[VIR_UUID_STRING_BUFLEN];

  g_assert_cmpint (virDomainGetUUIDString (domain, uuid), ==, 0);
  guint guest = (guint) g_ascii_digit_value (uuid[35]);
  g_mutex_lock (&fake->lock);
  fake->calls[guest]++;
  fake->in_flight++;
  fake->most_in_flight = MAX (fake->most_in_flight, fake->in_flight);
  gboolean hangs = fake->hangs[guest];
  g_mutex_unlock (&fake->lock);
  g_private_set (has_failed (), GINT_TO_POINTER (hangs));
  g_usleep (hangs ? (gulong) timeout * G_USEC_PER_SEC : 2000);
  g_mutex_lock (&fake->lock);
  fake->in_flight--;
  g_mutex_unlock (&fake->lock);
  if (!hangs)
    return strdup ("{\"return\":{}}");
  return NULL;
}

typedef struct
{
  LodgeVirtConnection *connection;
  LodgeKvmAgents *agents;
  virConnectPtr own;
} World;

static void
set_up (World *world, gconstpointer data)
{
  memset (fake_agents (), 0, sizeof (FakeAgents));
  world->own = virConnectOpen ("test:///default");
  g_assert_nonnull (world->own);
  for (guint i = 0; i < N_GUESTS; i++)
    {
      g_autofree char *xml = g_strdup_printf ("<domain type='test'><name>guest%u</name><uuid>" UUID
                                              "</uuid><memory>8192</memory>"
                                              "<os><type>hvm</type></os></domain>",
                                              i, i);
      virDomainPtr domain = virDomainDefineXML (world->own, xml);
      g_assert_nonnull (domain);
      virDomainFree (domain);
    }
  world->connection = lodge_virt_connection_new ("test:///default");
  lodge_virt_connection_start (world->connection);
  while (!lodge_virt_connection_is_connected (world->connection))
    g_main_context_iteration (NULL, FALSE);
  world->agents = lodge_kvm_agents_new (world->connection);
}

static void
tear_down (World *world, gconstpointer data)
{
  g_clear_object (&world->agents);
  g_clear_object (&world->connection);
  virConnectClose (world->own);
  while (g_main_context_iteration (NULL, FALSE))
    ;
}

/* One command on a thread of its own. */
typedef struct
{
  LodgeKvmAgents *agents;
  guint guest;
  guint seconds;
  gint64 took; /* microseconds */
  GError *error;
  GThread *thread;
} Command;

static gpointer
run_command (gpointer data)
{
  Command *command = data;
  g_autofree char *uuid = g_strdup_printf (UUID, command->guest);
  gint64 began = g_get_monotonic_time ();
  gboolean ok = lodge_kvm_agents_call (command->agents, uuid, "guest-ping", NULL, command->seconds,
                                       NULL, &command->error);

  g_assert_cmpint (ok, ==, command->error == NULL);
  command->took = g_get_monotonic_time () - began;
  return NULL;
}

static void
begin (World *world, Command *command, guint guest, guint seconds)
{
  *command = (Command){ .agents = world->agents, .guest = guest, .seconds = seconds };
  command->thread = g_thread_new ("command", run_command, command);
}

static void
end (Command *command)
{
  g_thread_join (command->thread);
}

static void
assert_ends (Command *command, int code, gint64 most)
{
  end (command);
  if (code == 0)
    g_assert_no_error (command->error);
  else
    g_assert_error (command->error, LODGE_ERROR, code);
  g_assert_cmpint (command->took, <, most);
  g_clear_error (&command->error);
}

/* Who waits behind a call that times out ends with it, and the next one fails at once. */
static void
test_waiters_end_together (World *world, gconstpointer data)
{
  Command commands[8];
  Command late;

  fake_agents ()->hangs[0] = TRUE;
  for (guint i = 0; i < G_N_ELEMENTS (commands); i++)
    begin (world, &commands[i], 0, HANG_SECONDS);
  for (guint i = 0; i < G_N_ELEMENTS (commands); i++)
    {
      end (&commands[i]);
      g_assert_cmpint (commands[i].took, <, 2 * HANG_SECONDS * G_USEC_PER_SEC);
      g_assert_error (commands[i].error, LODGE_ERROR, LODGE_ERROR_AGENT_UNAVAILABLE);
      g_assert_nonnull (strstr (commands[i].error->message, "qemu-guest-agent"));
      g_clear_error (&commands[i].error);
    }
  g_assert_cmpuint (fake_agents ()->calls[0], ==, 1);

  /* One tries again; whoever comes meanwhile is told at once. */
  begin (world, &commands[0], 0, HANG_SECONDS);
  while (g_atomic_int_get (&fake_agents ()->calls[0]) < 2)
    g_usleep (1000);
  begin (world, &late, 0, HANG_SECONDS);
  assert_ends (&late, LODGE_ERROR_AGENT_UNAVAILABLE, G_USEC_PER_SEC);
  assert_ends (&commands[0], LODGE_ERROR_AGENT_UNAVAILABLE, 2 * HANG_SECONDS * G_USEC_PER_SEC);
}

/* Five agents hang, and the sixth is asked again and again. */
static void
test_others_go_on (World *world, gconstpointer data)
{
  Command hanging[N_GUESTS - 1];
  Command healthy;

  for (guint i = 0; i < N_GUESTS - 1; i++)
    fake_agents ()->hangs[i] = TRUE;
  for (guint i = 0; i < G_N_ELEMENTS (hanging); i++)
    begin (world, &hanging[i], i, HANG_SECONDS);
  begin (world, &healthy, N_GUESTS - 1, 3 * HANG_SECONDS);
  assert_ends (&healthy, 0, 2 * HANG_SECONDS * G_USEC_PER_SEC);
  for (guint i = 0; i < G_N_ELEMENTS (hanging); i++)
    end (&hanging[i]);
  for (guint i = 0; i < G_N_ELEMENTS (hanging); i++)
    g_clear_error (&hanging[i].error);
  g_assert_cmpuint (fake_agents ()->most_in_flight, <=, 4);

  /* Those that are known to hang do not hold it up any more. */
  for (guint i = 0; i < G_N_ELEMENTS (hanging); i++)
    begin (world, &hanging[i], i, HANG_SECONDS);
  g_usleep (100000);
  begin (world, &healthy, N_GUESTS - 1, HANG_SECONDS);
  assert_ends (&healthy, 0, G_USEC_PER_SEC);
  for (guint i = 0; i < G_N_ELEMENTS (hanging); i++)
    {
      end (&hanging[i]);
      g_clear_error (&hanging[i].error);
    }
}

static void
test_comes_back (World *world, gconstpointer data)
{
  Command command;

  fake_agents ()->hangs[0] = TRUE;
  begin (world, &command, 0, HANG_SECONDS);
  assert_ends (&command, LODGE_ERROR_AGENT_UNAVAILABLE, 2 * HANG_SECONDS * G_USEC_PER_SEC);
  g_autofree char *uuid = g_strdup_printf (UUID, 0u);
  g_assert_true (lodge_kvm_agents_is_suspect (world->agents, uuid));
  fake_agents ()->hangs[0] = FALSE;
  begin (world, &command, 0, HANG_SECONDS);
  assert_ends (&command, 0, G_USEC_PER_SEC);
  g_assert_false (lodge_kvm_agents_is_suspect (world->agents, uuid));
}

/* More than an agent can be asked at once is refused, not queued without end. */
static void
test_queue_is_bounded (World *world, gconstpointer data)
{
  Command commands[80];
  guint n_busy = 0;

  fake_agents ()->hangs[0] = TRUE;
  for (guint i = 0; i < G_N_ELEMENTS (commands); i++)
    begin (world, &commands[i], 0, 2 * HANG_SECONDS);
  for (guint i = 0; i < G_N_ELEMENTS (commands); i++)
    {
      end (&commands[i]);
      n_busy += g_error_matches (commands[i].error, LODGE_ERROR, LODGE_ERROR_BUSY) ? 1 : 0;
      g_clear_error (&commands[i].error);
    }
  g_assert_cmpuint (n_busy, >, 0);
}

/* How long an agent is away: once it was there, and until something shows that it is back. */
static void
test_absence (World *world, gconstpointer data)
{
  g_autofree char *uuid = g_strdup_printf (UUID, 0u);
  Command command;

  lodge_kvm_agents_set_present (world->agents, uuid, FALSE);
  g_assert_cmpint (lodge_kvm_agents_get_state (world->agents, uuid).absent_since, ==, 0);
  begin (world, &command, 0, HANG_SECONDS);
  assert_ends (&command, 0, HANG_SECONDS * G_USEC_PER_SEC);
  gint64 before = g_get_monotonic_time ();
  lodge_kvm_agents_set_present (world->agents, uuid, FALSE);
  gint64 since = lodge_kvm_agents_get_state (world->agents, uuid).absent_since;
  g_assert_cmpint (since, >=, before);
  g_usleep (2000);
  lodge_kvm_agents_set_present (world->agents, uuid, FALSE);
  g_assert_cmpint (lodge_kvm_agents_get_state (world->agents, uuid).absent_since, ==, since);

  /* An answer, and what libvirt says. */
  begin (world, &command, 0, HANG_SECONDS);
  assert_ends (&command, 0, HANG_SECONDS * G_USEC_PER_SEC);
  g_assert_cmpint (lodge_kvm_agents_get_state (world->agents, uuid).absent_since, ==, 0);
  lodge_kvm_agents_set_present (world->agents, uuid, FALSE);
  lodge_kvm_agents_set_present (world->agents, uuid, TRUE);
  g_assert_cmpint (lodge_kvm_agents_get_state (world->agents, uuid).absent_since, ==, 0);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(path, func) g_test_add (path, World, NULL, set_up, func, tear_down)
  ADD ("/kvm/agent/waiters-end-together", test_waiters_end_together);
  ADD ("/kvm/agent/others-go-on", test_others_go_on);
  ADD ("/kvm/agent/comes-back", test_comes_back);
  ADD ("/kvm/agent/absence", test_absence);
  ADD ("/kvm/agent/queue-is-bounded", test_queue_is_bounded);
  return g_test_run ();
}
