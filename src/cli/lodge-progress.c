/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-progress.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "lodge-i18n.h"
#include "lodge-name.h"
#include "lodge-output.h"
#include "lodge-units.h"

#define DEFAULT_WIDTH 80

void
lodge_progress_init (LodgeProgress *self, LodgeCli *cli)
{
  const char *term = g_getenv ("TERM");

  *self = (LodgeProgress){ .cli = cli };
  self->enabled = cli->stderr_tty && !cli->quiet && term != NULL && strcmp (term, "dumb") != 0;
}

static guint
terminal_width (void)
{
  struct winsize size;

  if (ioctl (STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 10)
    return size.ws_col;
  return DEFAULT_WIDTH;
}

/* Cuts at a character, so that the line never wraps: a wrapped one cannot be drawn over. */
static void
cut_to_width (char *text, guint width)
{
  guint column = 0;

  for (char *p = text; *p != '\0'; p = g_utf8_next_char (p))
    {
      gunichar c = g_utf8_get_char (p);
      column += g_unichar_iszerowidth (c) ? 0 : g_unichar_iswide (c) ? 2 : 1;
      if (column > width)
        {
          *p = '\0';
          return;
        }
    }
}

void
lodge_progress_draw (LodgeProgress *self, const char *text)
{
  if (!self->enabled)
    return;
  g_autofree char *line = lodge_text_escape (text);
  cut_to_width (line, terminal_width () - 1);
  fprintf (stderr, "\r%s\033[K", line);
  fflush (stderr);
  self->shown = TRUE;
}

void
lodge_progress_clear (LodgeProgress *self)
{
  if (!self->shown)
    return;
  fputs ("\r\033[K", stderr);
  fflush (stderr);
  self->shown = FALSE;
}

char *
lodge_progress_amount (double fraction, guint64 done, guint64 total, guint64 rate)
{
  g_autoptr (GString) out = g_string_new (NULL);

  if (fraction >= 0 && fraction <= 1)
    g_string_append_printf (out, "%d %%", (int) (fraction * 100));
  if (done > 0)
    {
      g_autofree char *done_text = lodge_format_size (done);
      g_autofree char *total_text = lodge_format_size (total);

      g_string_append (out, out->len > 0 ? ", " : "");
      if (total > 0)
        /* TRANSLATORS: "12MiB of 200MiB" */
        g_string_append_printf (out, _ ("%s of %s"), done_text, total_text);
      else
        g_string_append (out, done_text);
    }
  if (rate > 0)
    {
      g_autofree char *rate_text = lodge_format_size (rate);
      g_string_append_printf (out, "%s%s/s", out->len > 0 ? ", " : "", rate_text);
    }
  if (rate > 0 && total > done)
    {
      /* Rounded up: what is not over yet has a second left. */
      g_autofree char *left = lodge_format_duration ((total - done + rate - 1) / rate);
      /* TRANSLATORS: "12MiB of 200MiB, 30MiB/s, 7s left" */
      g_string_append_printf (out, _ (", %s left"), left);
    }
  return g_string_free (g_steal_pointer (&out), FALSE);
}
