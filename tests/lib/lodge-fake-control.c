/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <gio/gio.h>
#include <gio/gunixsocketaddress.h>
#include <malloc.h>
#include <sqlite3.h>
#include <unistd.h>

#include "lodge-fake-driver.h"
#include "lodge-units.h"

/* What somebody else does to the host, behind Lodge's back. */

typedef struct
{
  LodgeFakeWorld *world;
  GPtrArray *drivers;
  gboolean silent;
} Control;

typedef gboolean (*CommandFunc) (Control *control, char **words, GString *answer, GError **error);

typedef struct
{
  const char *name;
  guint min_words, max_words; /* of arguments */
  CommandFunc run;
} Command;

static LodgeFakeDriver *
driver_of (Control *control, LodgeKind kind)
{
  for (guint i = 0; i < control->drivers->len; i++)
    if (lodge_driver_get_kind (control->drivers->pdata[i]) == kind)
      return control->drivers->pdata[i];
  return NULL;
}

static void
tell (Control *control, const LodgeDomainInfo *info, LodgeDomainEvent event)
{
  LodgeFakeDriver *driver = driver_of (control, info->kind);

  if (driver != NULL && !control->silent)
    lodge_fake_driver_emit (driver, event, info->uuid);
}

static LodgeDomainInfo *
need (Control *control, const char *name, GError **error)
{
  LodgeDomainInfo *info = lodge_fake_world_find (control->world, name);

  if (info == NULL)
    g_set_error (error, LODGE_ERROR, LODGE_ERROR_NOT_FOUND, "no domain %s", name);
  return info;
}

static gboolean
need_number (const char *word, guint64 *out, GError **error)
{
  return lodge_parse_uint (word, 0, G_MAXINT64, out, error);
}

/* ---- rules ---- */

static gboolean
run_delay (Control *control, char **words, GString *answer, GError **error)
{
  guint64 ms;

  if (!need_number (words[2], &ms, error))
    return FALSE;
  lodge_fake_world_set_delay (control->world, words[1], (guint) ms);
  return TRUE;
}

static gboolean
run_fail (Control *control, char **words, GString *answer, GError **error)
{
  guint64 count = 1;

  if (words[4] != NULL && !need_number (words[4], &count, error))
    return FALSE;
  lodge_fake_world_set_failure (control->world, words[1], lodge_error_from_nick (words[2]),
                                words[3], (guint) count);
  return TRUE;
}

static gboolean
run_clear (Control *control, char **words, GString *answer, GError **error)
{
  lodge_fake_world_clear_rules (control->world);
  return TRUE;
}

static gboolean
run_count (Control *control, char **words, GString *answer, GError **error)
{
  g_string_append_printf (answer, "%u\n", lodge_fake_world_count (control->world, words[1]));
  return TRUE;
}

/* ---- domains ---- */

static gboolean
run_define (Control *control, char **words, GString *answer, GError **error)
{
  g_autofree char *uuid = g_uuid_string_random ();
  LodgeDomainInfo info = { .uuid = uuid,
                           .name = words[1],
                           .state = LODGE_STATE_STOPPED,
                           .id = -1,
                           .persistent = TRUE,
                           .vcpus = 1,
                           .memory_limit = 512 << 20,
                           .fingerprint = words[1] };

  if (!lodge_kind_from_nick (words[2], &info.kind))
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT, "no kind %s", words[2]);
      return FALSE;
    }
  lodge_fake_world_put (control->world, &info);
  tell (control, &info, LODGE_DOMAIN_EVENT_CHANGED);
  g_string_append_printf (answer, "%s\n", uuid);
  return TRUE;
}

static gboolean
run_undefine (Control *control, char **words, GString *answer, GError **error)
{
  g_autoptr (LodgeDomainInfo) info = need (control, words[1], error);

  if (info == NULL)
    return FALSE;
  lodge_fake_world_remove (control->world, info->uuid);
  tell (control, info, LODGE_DOMAIN_EVENT_UNDEFINED);
  return TRUE;
}

static const struct
{
  const char *command;
  LodgeState state;
} states[] = {
  { "start", LODGE_STATE_RUNNING },
  { "kill", LODGE_STATE_STOPPED },
  { "crash", LODGE_STATE_CRASHED },
  { "pause", LODGE_STATE_PAUSED },
};

static gboolean
run_state (Control *control, char **words, GString *answer, GError **error)
{
  g_autoptr (LodgeDomainInfo) info = need (control, words[1], error);

  if (info == NULL)
    return FALSE;
  for (gsize i = 0; i < G_N_ELEMENTS (states); i++)
    if (g_str_equal (states[i].command, words[0]))
      lodge_fake_world_set_state (control->world, info->uuid, states[i].state);
  tell (control, info, LODGE_DOMAIN_EVENT_CHANGED);
  return TRUE;
}

static gboolean
run_rename (Control *control, char **words, GString *answer, GError **error)
{
  g_autoptr (LodgeDomainInfo) info = need (control, words[1], error);

  if (info == NULL)
    return FALSE;
  lodge_fake_world_rename (control->world, info->uuid, words[2]);
  /* In virt-manager's way: undefine and define. */
  tell (control, info, LODGE_DOMAIN_EVENT_UNDEFINED);
  tell (control, info, LODGE_DOMAIN_EVENT_CHANGED);
  return TRUE;
}

static gboolean
run_memory (Control *control, char **words, GString *answer, GError **error)
{
  g_autoptr (LodgeDomainInfo) info = need (control, words[1], error);
  guint64 bytes;

  if (info == NULL || !need_number (words[2], &bytes, error))
    return FALSE;
  lodge_fake_world_set_memory (control->world, info->uuid, bytes);
  tell (control, info, LODGE_DOMAIN_EVENT_CHANGED);
  return TRUE;
}

static gboolean
run_boot (Control *control, char **words, GString *answer, GError **error)
{
  g_autoptr (LodgeDomainInfo) info = need (control, words[1], error);

  if (info != NULL)
    tell (control, info, LODGE_DOMAIN_EVENT_BOOTED);
  return info != NULL;
}

static gboolean
run_stubborn (Control *control, char **words, GString *answer, GError **error)
{
  g_autoptr (LodgeDomainInfo) info = need (control, words[1], error);

  if (info != NULL)
    lodge_fake_world_set_stubborn (control->world, info->uuid, g_str_equal (words[2], "on"));
  return info != NULL;
}

static gboolean
run_connect (Control *control, char **words, GString *answer, GError **error)
{
  LodgeFakeDriver *driver = NULL;
  LodgeKind kind;

  if (lodge_kind_from_nick (words[1], &kind))
    driver = driver_of (control, kind);
  if (driver == NULL)
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT, "no driver %s", words[1]);
      return FALSE;
    }
  lodge_fake_driver_set_connected (driver, g_str_equal (words[0], "connect"));
  return TRUE;
}

static gboolean
run_list (Control *control, char **words, GString *answer, GError **error)
{
  for (int kind = LODGE_KIND_CONTAINER; kind <= LODGE_KIND_VM; kind++)
    {
      g_autoptr (GPtrArray) list = lodge_fake_world_list (control->world, (LodgeKind) kind);

      for (guint i = 0; i < list->len; i++)
        {
          const LodgeDomainInfo *info = list->pdata[i];

          g_string_append_printf (answer, "%s %s %s %s\n", info->name, info->uuid,
                                  lodge_kind_nick (info->kind), lodge_state_nick (info->state));
        }
    }
  return TRUE;
}

/* What lodged has allocated and not freed, whatever the heap keeps beside it; then how much of that
 * is SQLite's, whose page cache grows to its bound. */
static gboolean
run_heap (Control *control, char **words, GString *answer, GError **error)
{
  struct mallinfo2 info = mallinfo2 ();

  g_string_append_printf (answer, "%" G_GSIZE_FORMAT "\n%" G_GINT64_FORMAT "\n",
                          (gsize) info.uordblks + info.hblkhd, (gint64) sqlite3_memory_used ());
  return TRUE;
}

static const Command commands[] = {
  { "delay", 2, 2, run_delay },     { "fail", 3, 4, run_fail },
  { "clear", 0, 0, run_clear },     { "count", 1, 1, run_count },
  { "define", 2, 2, run_define },   { "undefine", 1, 1, run_undefine },
  { "start", 1, 1, run_state },     { "kill", 1, 1, run_state },
  { "crash", 1, 1, run_state },     { "pause", 1, 1, run_state },
  { "rename", 2, 2, run_rename },   { "memory", 2, 2, run_memory },
  { "boot", 1, 1, run_boot },       { "stubborn", 2, 2, run_stubborn },
  { "connect", 1, 1, run_connect }, { "disconnect", 1, 1, run_connect },
  { "list", 0, 0, run_list },       { "heap", 0, 0, run_heap },
};

char *
lodge_fake_control_run (LodgeFakeWorld *world, GPtrArray *drivers, const char *line, GError **error)
{
  g_autoptr (GString) answer = g_string_new (NULL);
  g_auto (GStrv) parsed = NULL;
  Control control = { world, drivers, FALSE };
  char **words;

  if (!g_shell_parse_argv (line, NULL, &parsed, error))
    return NULL;
  words = parsed;
  if (g_str_equal (words[0], "silent") && words[1] != NULL)
    {
      control.silent = TRUE;
      words++;
    }
  for (gsize i = 0; i < G_N_ELEMENTS (commands); i++)
    {
      guint n_words = g_strv_length (words) - 1;

      if (!g_str_equal (commands[i].name, words[0]) || n_words < commands[i].min_words
          || n_words > commands[i].max_words)
        continue;
      if (!commands[i].run (&control, words, answer, error))
        return NULL;
      g_string_append (answer, "ok\n");
      return g_string_free (g_steal_pointer (&answer), FALSE);
    }
  g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT, "no such command: %s", line);
  return NULL;
}

/* ---- the socket ---- */

typedef struct
{
  LodgeFakeWorld *world;
  GPtrArray *drivers;
} Listener;

typedef struct
{
  Listener *listener; /* borrowed: it lives as long as the service */
  GSocketConnection *connection;
  GDataInputStream *input;
} Session;

static void
session_free (Session *session)
{
  g_object_unref (session->input);
  g_object_unref (session->connection);
  g_free (session);
}

static void
on_line (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Session *session = user_data;
  g_autoptr (GError) error = NULL;
  g_autofree char *line = g_data_input_stream_read_line_finish (session->input, result, NULL, NULL);
  g_autofree char *answer = NULL;

  if (line == NULL)
    {
      session_free (session);
      return;
    }
  answer
      = lodge_fake_control_run (session->listener->world, session->listener->drivers, line, &error);
  if (answer == NULL)
    answer = g_strdup_printf ("error: %s\n", error->message);
  g_output_stream_write_all (g_io_stream_get_output_stream (G_IO_STREAM (session->connection)),
                             answer, strlen (answer), NULL, NULL, NULL);
  g_data_input_stream_read_line_async (session->input, G_PRIORITY_DEFAULT, NULL, on_line, session);
}

static gboolean
on_incoming (GSocketService *service, GSocketConnection *connection, GObject *source,
             gpointer user_data)
{
  Session *session = g_new0 (Session, 1);

  session->listener = user_data;
  session->connection = g_object_ref (connection);
  session->input
      = g_data_input_stream_new (g_io_stream_get_input_stream (G_IO_STREAM (connection)));
  g_data_input_stream_read_line_async (session->input, G_PRIORITY_DEFAULT, NULL, on_line, session);
  return TRUE;
}

static void
listener_free (gpointer data, GClosure *closure)
{
  Listener *listener = data;

  g_object_unref (listener->world);
  g_ptr_array_unref (listener->drivers);
  g_free (listener);
}

GObject *
lodge_fake_control_listen (LodgeFakeWorld *world, GPtrArray *drivers, const char *path,
                           GError **error)
{
  g_autoptr (GSocketService) service = g_socket_service_new ();
  g_autoptr (GSocketAddress) address = NULL;
  Listener *listener = g_new0 (Listener, 1);

  unlink (path);
  address = g_unix_socket_address_new (path);
  listener->world = g_object_ref (world);
  listener->drivers = g_ptr_array_ref (drivers);
  g_signal_connect_data (service, "incoming", G_CALLBACK (on_incoming), listener, listener_free, 0);
  if (!g_socket_listener_add_address (G_SOCKET_LISTENER (service), address, G_SOCKET_TYPE_STREAM,
                                      G_SOCKET_PROTOCOL_DEFAULT, NULL, NULL, error))
    return NULL;
  return G_OBJECT (g_steal_pointer (&service));
}
