/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-kvm-agent.h"

#include <libvirt/libvirt-qemu.h>
#include <libvirt/virterror.h>
#include <string.h>

#include "lodge-virt-error.h"

#define SUSPECT_USEC    (30 * G_USEC_PER_SEC)
#define FILE_SECONDS    10
#define SPAWN_SECONDS   5
#define POLL_FIRST_USEC 2000
#define POLL_LAST_USEC  50000

/* libvirtd admits five requests of a connection at once, and a call to an agent that hangs keeps
 * one until its limit.  So the rest wait here, where waiting has an end, and agents that have hung
 * before get no more than their share. */
#define CALLS_MAX         4
#define SUSPECT_CALLS_MAX 2
#define WAITING_MAX       64 /* for one agent */
#define HANGING_USEC      (G_USEC_PER_SEC / 2)

typedef struct
{
  gboolean busy;
  gboolean counts_as_suspect; /* the call that goes on */
  gint64 busy_since;
  gint64 suspect_until;
  guint waiting;
  gboolean present;      /* it has answered, or libvirt said so, and nothing said the contrary */
  gboolean ever_present; /* since the machine has booted */
  gint64 absent_since;   /* libvirt said that it has gone; 0: it is there, or was never seen */
  gint64 rebooted_at;    /* 0: not since it was started */
} Guest;

struct _LodgeKvmAgents
{
  GObject parent_instance;

  LodgeVirtConnection *connection;
  GMutex lock;
  GCond changed;
  GHashTable *guests; /* uuid → Guest */
  guint n_calls;      /* that go on */
  guint n_suspect_calls;
};

G_DEFINE_FINAL_TYPE (LodgeKvmAgents, lodge_kvm_agents, G_TYPE_OBJECT)

/* With the lock held. */
static Guest *
get_guest (LodgeKvmAgents *self, const char *uuid)
{
  Guest *guest = g_hash_table_lookup (self->guests, uuid);

  if (guest == NULL)
    {
      guest = g_new0 (Guest, 1);
      g_hash_table_insert (self->guests, g_strdup (uuid), guest);
    }
  return guest;
}

static void
set_unavailable (GError **error, const char *name)
{
  g_set_error (error, LODGE_ERROR, LODGE_ERROR_AGENT_UNAVAILABLE,
               "no guest agent answers in '%s'\nIt may still be booting; else install and start "
               "qemu-guest-agent in it, or use its console.",
               name);
}

static void
set_busy (GError **error, const char *name)
{
  g_set_error (error, LODGE_ERROR, LODGE_ERROR_BUSY,
               "the guest agent of '%s' has too much to do\nTry again when commands that run in it "
               "have ended.",
               name);
}

/* With the lock held. */
static gboolean
is_suspect (const Guest *guest)
{
  return guest->suspect_until > g_get_monotonic_time ();
}

/* With the lock held: whether one call has taken all of the time; libvirt's least is longer than
 * what some callers give it. */
static gboolean
hangs_now (const Guest *guest, guint seconds)
{
  return guest->busy && g_get_monotonic_time () - guest->busy_since >= seconds * G_USEC_PER_SEC;
}

/*
 * With the lock held: waits for a turn.  Who waits for an agent that turns out to hang would only
 * see the same, so all of them end with the first.
 */
static gboolean
wait_for_turn (LodgeKvmAgents *self, Guest *guest, guint seconds, const char *name, GError **error)
{
  /* A moment more than the call of @seconds that may be going on: its end says why. */
  gint64 deadline = g_get_monotonic_time () + (seconds + 1) * G_USEC_PER_SEC;

  while (guest->busy || self->n_calls >= CALLS_MAX
         || (is_suspect (guest) && self->n_suspect_calls >= SUSPECT_CALLS_MAX))
    {
      gboolean in_time
          = is_suspect (guest) || g_cond_wait_until (&self->changed, &self->lock, deadline);
      if (is_suspect (guest) || (!in_time && hangs_now (guest, seconds)))
        set_unavailable (error, name);
      else if (!in_time)
        set_busy (error, name);
      else
        continue;
      return FALSE;
    }
  return TRUE;
}

static gboolean
take_turn (LodgeKvmAgents *self, const char *uuid, guint seconds, const char *name, GError **error)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);
  Guest *guest = get_guest (self, uuid);

  if (guest->waiting >= WAITING_MAX)
    {
      set_busy (error, name);
      return FALSE;
    }
  guest->waiting++;
  gboolean mine = wait_for_turn (self, guest, seconds, name, error);
  guest->waiting--;
  if (!mine)
    return FALSE;
  guest->busy = TRUE;
  guest->busy_since = g_get_monotonic_time ();
  guest->counts_as_suspect = is_suspect (guest);
  self->n_calls++;
  self->n_suspect_calls += guest->counts_as_suspect ? 1 : 0;
  return TRUE;
}

/* With the lock held. */
static void
set_present (Guest *guest, gboolean present)
{
  if (present)
    guest->absent_since = 0;
  else if (guest->present)
    guest->absent_since = g_get_monotonic_time ();
  guest->present = present;
  guest->ever_present |= present;
}

/* @answered: the agent, even if it was with an error */
static void
end_turn (LodgeKvmAgents *self, const char *uuid, gboolean answered, gboolean timed_out)
{
  g_mutex_lock (&self->lock);
  Guest *guest = get_guest (self, uuid);
  if (answered)
    set_present (guest, TRUE);
  guest->busy = FALSE;
  guest->suspect_until = timed_out ? g_get_monotonic_time () + SUSPECT_USEC : 0;
  self->n_calls--;
  self->n_suspect_calls -= guest->counts_as_suspect ? 1 : 0;
  g_cond_broadcast (&self->changed);
  g_mutex_unlock (&self->lock);
}

gboolean
lodge_kvm_agents_is_suspect (LodgeKvmAgents *self, const char *uuid)
{
  g_mutex_lock (&self->lock);
  const Guest *guest = g_hash_table_lookup (self->guests, uuid);
  gboolean suspect = guest != NULL && is_suspect (guest);
  g_mutex_unlock (&self->lock);
  return suspect;
}

/* With the lock held: what was known is of a machine that is no more, or has booted again. */
static void
forget (LodgeKvmAgents *self, const char *uuid)
{
  Guest *guest = g_hash_table_lookup (self->guests, uuid);

  if (guest == NULL)
    return;
  if (!guest->busy && guest->waiting == 0)
    {
      g_hash_table_remove (self->guests, uuid);
      return;
    }
  guest->suspect_until = 0;
  guest->present = guest->ever_present = FALSE;
  guest->absent_since = guest->rebooted_at = 0;
}

void
lodge_kvm_agents_forget (LodgeKvmAgents *self, const char *uuid)
{
  g_mutex_lock (&self->lock);
  forget (self, uuid);
  g_mutex_unlock (&self->lock);
}

void
lodge_kvm_agents_set_rebooted (LodgeKvmAgents *self, const char *uuid)
{
  g_mutex_lock (&self->lock);
  forget (self, uuid);
  get_guest (self, uuid)->rebooted_at = g_get_monotonic_time ();
  g_mutex_unlock (&self->lock);
}

void
lodge_kvm_agents_set_present (LodgeKvmAgents *self, const char *uuid, gboolean present)
{
  g_mutex_lock (&self->lock);
  Guest *guest = get_guest (self, uuid);
  guest->suspect_until = 0;
  set_present (guest, present);
  g_mutex_unlock (&self->lock);
}

LodgeKvmAgentState
lodge_kvm_agents_get_state (LodgeKvmAgents *self, const char *uuid)
{
  LodgeKvmAgentState state = { 0 };

  g_mutex_lock (&self->lock);
  const Guest *guest = g_hash_table_lookup (self->guests, uuid);
  if (guest != NULL)
    state = (LodgeKvmAgentState){ .present = guest->present,
                                  .ever_present = guest->ever_present,
                                  .absent_since = guest->absent_since,
                                  .rebooted_at = guest->rebooted_at };
  g_mutex_unlock (&self->lock);
  return state;
}

static void
set_call_error (GError **error, const char *name)
{
  if (lodge_virt_error_is (VIR_ERR_AGENT_UNRESPONSIVE)
      || lodge_virt_error_is (VIR_ERR_AGENT_UNSYNCED)
      || lodge_virt_error_is (VIR_ERR_OPERATION_TIMEOUT)
      || lodge_virt_error_is (VIR_ERR_ARGUMENT_UNSUPPORTED)
      || lodge_virt_error_is (VIR_ERR_CONFIG_UNSUPPORTED))
    set_unavailable (error, name);
  else if (lodge_virt_error_is (VIR_ERR_OPERATION_INVALID))
    g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_STATE, "'%s' does not run", name);
  else
    lodge_virt_set_error (error, "the guest agent of '%s' refused", name);
}

static char *
make_command (const char *command, JsonObject *arguments)
{
  g_autoptr (JsonObject) message = json_object_new ();

  json_object_set_string_member (message, "execute", command);
  if (arguments != NULL)
    json_object_set_object_member (message, "arguments", json_object_ref (arguments));
  return lodge_json_to_text (message);
}

gboolean
lodge_kvm_agents_call (LodgeKvmAgents *self, const char *uuid, const char *command,
                       JsonObject *arguments, guint seconds, JsonNode **out_return, GError **error)
{
  g_autofree char *message = make_command (command, arguments);
  g_autoptr (virDomain) domain = lodge_virt_connection_lookup (self->connection, uuid, error);

  if (domain == NULL)
    return FALSE;
  const char *name = virDomainGetName (domain);
  if (!take_turn (self, uuid, seconds, name, error))
    return FALSE;
  gint64 began = g_get_monotonic_time ();
  char *reply = virDomainQemuAgentCommand (domain, message, (int) seconds, 0);
  /* One that is not there at all is said so at once, and costs nobody anything. */
  gboolean timed_out = reply == NULL && lodge_virt_error_is (VIR_ERR_AGENT_UNRESPONSIVE)
                       && g_get_monotonic_time () - began > HANGING_USEC;
  if (reply == NULL)
    set_call_error (error, name);
  end_turn (self, uuid, reply != NULL, timed_out);
  if (reply == NULL)
    return FALSE;

  gboolean ok = lodge_kvm_reply_parse (reply, out_return, error);
  free (reply);
  return ok;
}

static void
set_strings (JsonObject *object, const char *member, const char *const *strings)
{
  JsonArray *array = json_array_new ();

  for (gsize i = 0; strings[i] != NULL; i++)
    json_array_add_string_element (array, strings[i]);
  json_object_set_array_member (object, member, array);
}

static JsonObject *
call_for_object (LodgeKvmAgents *self, const char *uuid, const char *command, JsonObject *arguments,
                 guint seconds, GError **error)
{
  g_autoptr (JsonNode) reply = NULL;

  if (!lodge_kvm_agents_call (self, uuid, command, arguments, seconds, &reply, error))
    return NULL;
  if (!JSON_NODE_HOLDS_OBJECT (reply))
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_BACKEND, "the guest agent answers nonsense");
      return NULL;
    }
  return json_node_dup_object (reply);
}

gboolean
lodge_kvm_agents_spawn (LodgeKvmAgents *self, const char *uuid, const char *const *argv,
                        const char *const *environment, GBytes *input, gboolean capture,
                        gint64 *out_pid, GError **error)
{
  g_autoptr (JsonObject) arguments = json_object_new ();

  json_object_set_string_member (arguments, "path", argv[0]);
  set_strings (arguments, "arg", argv + 1);
  if (environment != NULL)
    set_strings (arguments, "env", environment);
  if (input != NULL)
    {
      gsize size;
      const void *data = g_bytes_get_data (input, &size);
      g_autofree char *text = g_base64_encode (data, size);
      json_object_set_string_member (arguments, "input-data", text);
    }
  json_object_set_boolean_member (arguments, "capture-output", capture);
  g_autoptr (JsonObject) reply
      = call_for_object (self, uuid, "guest-exec", arguments, SPAWN_SECONDS, error);
  if (reply == NULL)
    return FALSE;
  *out_pid = lodge_json_get_int (reply, "pid", -1);
  return TRUE;
}

gboolean
lodge_kvm_agents_reap (LodgeKvmAgents *self, const char *uuid, gint64 pid, LodgeKvmExit *out_end,
                       GError **error)
{
  g_autoptr (JsonObject) arguments = json_object_new ();

  json_object_set_int_member (arguments, "pid", pid);
  g_autoptr (JsonObject) reply
      = call_for_object (self, uuid, "guest-exec-status", arguments, SPAWN_SECONDS, error);
  if (reply == NULL)
    return FALSE;
  lodge_kvm_reply_read_exit (reply, out_end);
  return TRUE;
}

gboolean
lodge_kvm_agents_run (LodgeKvmAgents *self, const char *uuid, const char *const *argv,
                      GBytes *input, guint seconds, LodgeKvmExit *out_end, GError **error)
{
  gint64 deadline = g_get_monotonic_time () + seconds * G_USEC_PER_SEC;
  gulong pause = POLL_FIRST_USEC;
  gint64 pid = -1;

  if (!lodge_kvm_agents_spawn (self, uuid, argv, NULL, input, TRUE, &pid, error))
    return FALSE;
  while (TRUE)
    {
      g_auto (LodgeKvmExit) end = { 0 };
      g_usleep (pause);
      if (!lodge_kvm_agents_reap (self, uuid, pid, &end, error))
        return FALSE;
      if (end.exited)
        {
          *out_end = end;
          end = (LodgeKvmExit){ 0 };
          return TRUE;
        }
      if (g_get_monotonic_time () > deadline)
        {
          g_set_error (error, LODGE_ERROR, LODGE_ERROR_TIMED_OUT,
                       "a command in the guest did not end within %u seconds", seconds);
          return FALSE;
        }
      pause = MIN (pause * 3 / 2, POLL_LAST_USEC);
    }
}

gboolean
lodge_kvm_agents_file_open (LodgeKvmAgents *self, const char *uuid, const char *path,
                            const char *mode, gint64 *out_handle, GError **error)
{
  g_autoptr (JsonObject) arguments = json_object_new ();
  g_autoptr (JsonNode) reply = NULL;

  json_object_set_string_member (arguments, "path", path);
  json_object_set_string_member (arguments, "mode", mode);
  if (!lodge_kvm_agents_call (self, uuid, "guest-file-open", arguments, FILE_SECONDS, &reply,
                              error))
    return FALSE;
  if (!JSON_NODE_HOLDS_VALUE (reply) || json_node_get_value_type (reply) != G_TYPE_INT64)
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_BACKEND, "the guest agent answers nonsense");
      return FALSE;
    }
  *out_handle = json_node_get_int (reply);
  return TRUE;
}

gboolean
lodge_kvm_agents_file_close (LodgeKvmAgents *self, const char *uuid, gint64 handle, GError **error)
{
  g_autoptr (JsonObject) arguments = json_object_new ();

  json_object_set_int_member (arguments, "handle", handle);
  return lodge_kvm_agents_call (self, uuid, "guest-file-close", arguments, FILE_SECONDS, NULL,
                                error);
}

GBytes *
lodge_kvm_agents_file_read (LodgeKvmAgents *self, const char *uuid, gint64 handle,
                            gboolean *out_eof, GError **error)
{
  g_autoptr (JsonObject) arguments = json_object_new ();

  json_object_set_int_member (arguments, "handle", handle);
  json_object_set_int_member (arguments, "count", LODGE_KVM_AGENT_BLOCK);
  g_autoptr (JsonObject) reply
      = call_for_object (self, uuid, "guest-file-read", arguments, FILE_SECONDS, error);
  if (reply == NULL)
    return NULL;
  *out_eof = lodge_json_get_bool (reply, "eof", FALSE);
  GBytes *data = lodge_kvm_reply_get_bytes (reply, "buf-b64");
  return data != NULL ? data : g_bytes_new (NULL, 0);
}

gboolean
lodge_kvm_agents_file_seek (LodgeKvmAgents *self, const char *uuid, gint64 handle, guint64 offset,
                            GError **error)
{
  g_autoptr (JsonObject) arguments = json_object_new ();

  json_object_set_int_member (arguments, "handle", handle);
  json_object_set_int_member (arguments, "offset", (gint64) offset);
  json_object_set_string_member (arguments, "whence", "set");
  return lodge_kvm_agents_call (self, uuid, "guest-file-seek", arguments, FILE_SECONDS, NULL,
                                error);
}

static gboolean
flush_file (LodgeKvmAgents *self, const char *uuid, gint64 handle, GError **error)
{
  g_autoptr (JsonObject) arguments = json_object_new ();

  json_object_set_int_member (arguments, "handle", handle);
  return lodge_kvm_agents_call (self, uuid, "guest-file-flush", arguments, FILE_SECONDS, NULL,
                                error);
}

gboolean
lodge_kvm_agents_file_write (LodgeKvmAgents *self, const char *uuid, gint64 handle,
                             const void *data, gsize size, gboolean flush, GError **error)
{
  g_autoptr (JsonObject) arguments = json_object_new ();
  g_autofree char *text = g_base64_encode (data, size);

  json_object_set_int_member (arguments, "handle", handle);
  json_object_set_string_member (arguments, "buf-b64", text);
  g_autoptr (JsonObject) reply
      = call_for_object (self, uuid, "guest-file-write", arguments, FILE_SECONDS, error);
  if (reply == NULL)
    return FALSE;
  if (lodge_json_get_int (reply, "count", -1) != (gint64) size)
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_NO_SPACE,
                   "the guest took only a part of a file");
      return FALSE;
    }
  return !flush || flush_file (self, uuid, handle, error);
}

LodgeKvmAgents *
lodge_kvm_agents_new (LodgeVirtConnection *connection)
{
  LodgeKvmAgents *self = g_object_new (LODGE_TYPE_KVM_AGENTS, NULL);

  self->connection = g_object_ref (connection);
  return self;
}

static void
lodge_kvm_agents_finalize (GObject *object)
{
  LodgeKvmAgents *self = LODGE_KVM_AGENTS (object);

  g_clear_object (&self->connection);
  g_hash_table_unref (self->guests);
  g_mutex_clear (&self->lock);
  g_cond_clear (&self->changed);
  G_OBJECT_CLASS (lodge_kvm_agents_parent_class)->finalize (object);
}

static void
lodge_kvm_agents_class_init (LodgeKvmAgentsClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = lodge_kvm_agents_finalize;
}

static void
lodge_kvm_agents_init (LodgeKvmAgents *self)
{
  self->guests = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  g_mutex_init (&self->lock);
  g_cond_init (&self->changed);
}
