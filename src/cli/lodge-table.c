/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-table.h"

#include <stdio.h>
#include <string.h>

#include "lodge-output.h"

typedef struct
{
  const char *title;
  gboolean right;
  gboolean state;
  guint width;
} Column;

struct _LodgeTable
{
  guint n_columns;
  Column *columns;
  GPtrArray *cells;
};

guint
lodge_text_width (const char *text)
{
  guint width = 0;

  for (const char *p = text; *p != '\0'; p = g_utf8_next_char (p))
    {
      gunichar c = g_utf8_get_char (p);
      if (c < 0x80)
        width++;
      else if (!g_unichar_iszerowidth (c))
        width += g_unichar_iswide (c) ? 2 : 1;
    }
  return width;
}

LodgeTable *
lodge_table_new (guint n_columns)
{
  LodgeTable *self = g_new0 (LodgeTable, 1);

  self->n_columns = n_columns;
  self->columns = g_new0 (Column, n_columns);
  self->cells = g_ptr_array_new_with_free_func (g_free);
  return self;
}

void
lodge_table_free (LodgeTable *self)
{
  if (self == NULL)
    return;
  g_free (self->columns);
  g_ptr_array_unref (self->cells);
  g_free (self);
}

void
lodge_table_set_column (LodgeTable *self, guint column, const char *title, gboolean right,
                        gboolean state)
{
  self->columns[column] = (Column){ .title = title, .right = right, .state = state };
}

void
lodge_table_take_cell (LodgeTable *self, char *text)
{
  if (text == NULL || text[0] == '\0')
    {
      g_free (text);
      text = g_strdup ("-");
    }
  g_ptr_array_add (self->cells, text);
}

LodgeColor
lodge_table_state_color (const char *state)
{
  static const struct
  {
    const char *state;
    LodgeColor color;
  } rows[] = {
    { "running", LODGE_COLOR_GOOD },    { "succeeded", LODGE_COLOR_GOOD },
    { "starting", LODGE_COLOR_BUSY },   { "stopping", LODGE_COLOR_BUSY },
    { "paused", LODGE_COLOR_BUSY },     { "queued", LODGE_COLOR_BUSY },
    { "cancelling", LODGE_COLOR_BUSY }, { "crashed", LODGE_COLOR_BAD },
    { "error", LODGE_COLOR_BAD },       { "failed", LODGE_COLOR_BAD },
    { "cancelled", LODGE_COLOR_BAD },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++)
    if (strcmp (rows[i].state, state) == 0)
      return rows[i].color;
  return LODGE_COLOR_PLAIN;
}

static void
print_padding (guint n)
{
  if (n > 0)
    printf ("%*s", (int) n, "");
}

/* The last column is not padded: no spaces at the end of a line. */
static void
print_cell (const LodgeTable *self, guint c, const char *text, gboolean color, LodgeColor kind)
{
  const Column *column = &self->columns[c];
  guint padding = column->width - lodge_text_width (text);

  if (c > 0)
    fputs ("  ", stdout);
  if (column->right)
    print_padding (padding);
  if (kind == LODGE_COLOR_PLAIN)
    fputs (text, stdout);
  else
    printf ("%s%s%s", lodge_cli_color (color, kind), text, lodge_cli_color_end (color));
  if (!column->right && c + 1 < self->n_columns)
    print_padding (padding);
}

void
lodge_table_print (LodgeTable *self, LodgeCli *cli, gboolean header)
{
  gboolean color = cli->color_stdout;

  for (guint c = 0; c < self->n_columns && header; c++)
    self->columns[c].width = lodge_text_width (self->columns[c].title);
  for (guint i = 0; i < self->cells->len; i++)
    {
      Column *column = &self->columns[i % self->n_columns];
      column->width = MAX (column->width, lodge_text_width (self->cells->pdata[i]));
    }
  for (guint c = 0; c < self->n_columns && header; c++)
    print_cell (self, c, self->columns[c].title, color, LODGE_COLOR_BOLD);
  if (header)
    putchar ('\n');
  for (guint i = 0; i < self->cells->len; i++)
    {
      guint c = i % self->n_columns;
      const char *text = self->cells->pdata[i];
      LodgeColor kind = self->columns[c].state ? lodge_table_state_color (text) : LODGE_COLOR_PLAIN;

      print_cell (self, c, text, color, kind);
      if (c + 1 == self->n_columns)
        putchar ('\n');
    }
}
