/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "lodge-cmd.h"
#include "lodge-i18n.h"
#include "lodge-job-wait.h"
#include "lodge-name.h"
#include "lodge-output.h"

/* One JSON object a line, for programs that read as it comes. */
static void
print_json (guint64 sequence, const char *type, const char *object, GVariant *details)
{
  g_auto (GVariantBuilder) builder = G_VARIANT_BUILDER_INIT (G_VARIANT_TYPE_VARDICT);
  g_autoptr (GVariant) all = NULL;
  g_autoptr (GString) out = g_string_new (NULL);

  g_variant_builder_add (&builder, "{sv}", "sequence", g_variant_new_uint64 (sequence));
  g_variant_builder_add (&builder, "{sv}", "type", g_variant_new_string (type));
  g_variant_builder_add (&builder, "{sv}", "object", g_variant_new_string (object));
  g_variant_builder_add (&builder, "{sv}", "details", details);
  all = g_variant_ref_sink (g_variant_builder_end (&builder));
  lodge_output_append_json (out, all, 0);
  /* Line ends are between members only: those in strings are escaped. */
  for (char *p = out->str; *p != '\0'; p++)
    if (*p != '\n')
      putchar (*p);
    else
      p += strspn (p + 1, " ");
  putchar ('\n');
}

static void
print_line (LodgeCli *cli, const char *type, GVariant *details)
{
  g_autoptr (GDateTime) now = g_date_time_new_now_local ();
  g_autofree char *time = g_date_time_format (now, "%H:%M:%S");
  g_autofree char *shown_type = lodge_text_escape (type);
  g_autofree char *name = lodge_row_string (details, "name");
  g_autofree char *shown_name = lodge_text_escape (name != NULL ? name : "");

  printf ("%s%s%s  %-18s %s", lodge_cli_color (cli->color_stdout, LODGE_COLOR_DIM), time,
          lodge_cli_color_end (cli->color_stdout), shown_type, shown_name);
  for (gsize i = 0; i < g_variant_n_children (details); i++)
    {
      g_autoptr (GVariant) value = NULL;
      const char *key;

      g_variant_get_child (details, i, "{&sv}", &key, &value);
      if (strcmp (key, "name") == 0)
        continue;
      g_autofree char *shown_key = lodge_text_escape (key);
      g_autofree char *text = lodge_output_plain (value);
      printf (" %s=%s", shown_key, text);
    }
  putchar ('\n');
}

static void
print_events (LodgeCli *cli, gboolean json, guint64 *last_sequence)
{
  LodgeMessage *next;

  while ((next = lodge_client_take_signal (cli->client)) != NULL)
    {
      g_autoptr (LodgeMessage) message = next;
      g_autoptr (GVariant) details = NULL;
      guint64 sequence;
      const char *type, *object;

      if (g_strcmp0 (message->member, "Event") != 0
          || !g_variant_is_of_type (message->body, G_VARIANT_TYPE ("(tsoa{sv})")))
        continue;
      g_variant_get (message->body, "(t&s&o@a{sv})", &sequence, &type, &object, &details);
      if (*last_sequence != 0 && sequence > *last_sequence + 1)
        lodge_cli_note (cli, _ ("some events were lost"));
      *last_sequence = sequence;
      if (json)
        print_json (sequence, type, object, details);
      else
        print_line (cli, type, details);
      fflush (stdout);
    }
}

/* Says once that the service went or came. */
static void
tell_service (LodgeCli *cli, gboolean *up)
{
  gboolean now = lodge_client_is_service_up (cli->client);

  if (now != *up)
    lodge_cli_note (cli, now ? _ ("the Lodge service is there") : _ ("the Lodge service is gone"));
  *up = now;
}

static gboolean
loop (LodgeCli *cli, gboolean json, GError **error)
{
  LodgeConnection *bus = lodge_client_get_connection (cli->client);
  guint64 last_sequence = 0;
  gboolean up = TRUE;

  for (;;)
    {
      struct pollfd fds[2] = { { .fd = lodge_connection_get_fd (bus), .events = POLLIN },
                               { .fd = cli->signal_fd, .events = POLLIN } };
      int signum;

      print_events (cli, json, &last_sequence);
      tell_service (cli, &up);
      if (ferror (stdout))
        return TRUE;
      poll (fds, 2, -1);
      if (fds[0].revents != 0 && !lodge_connection_dispatch (bus, 0, error))
        return FALSE;
      signum = lodge_cli_take_signal (cli);
      if (signum != 0 && signum != SIGWINCH)
        {
          cli->exit_status = signum == SIGINT ? 0 : 128 + signum;
          return TRUE;
        }
    }
}

gboolean
lodge_cmd_monitor (LodgeCli *cli, const LodgeArgs *args, GError **error)
{
  const char *format = lodge_args_string (args, "format");
  LodgeClient *client;

  if (format != NULL && strcmp (format, "table") != 0 && strcmp (format, "json") != 0)
    {
      g_set_error_literal (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
                           _ ("Events can be printed as table or json only."));
      return FALSE;
    }
  client = lodge_cli_get_client (cli, error);
  return client != NULL
         && lodge_client_subscribe (client, LODGE_OBJECT_PATH, "org.lodge1.Manager", "Event", error)
         && lodge_cli_watch_signals (cli, error)
         && loop (cli, g_strcmp0 (format, "json") == 0, error);
}
