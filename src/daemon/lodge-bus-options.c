/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-bus-options.h"

#include <gio/gunixfdlist.h>

#include "lodge-name.h"

static gsize
find_row (const LodgeBusOption *table, const char *name)
{
  gsize i = 0;

  while (table[i].name != NULL && strcmp (table[i].name, name) != 0)
    i++;
  return i;
}

static void
set_unknown (const LodgeBusOption *table, const char *what, const char *name, GError **error)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new ();
  g_autofree char *shown = lodge_text_escape (name);

  for (gsize i = 0; table[i].name != NULL; i++)
    g_ptr_array_add (names, (gpointer) table[i].name);
  g_ptr_array_add (names, NULL);

  const char *nearest = lodge_nearest (name, (const char *const *) names->pdata);
  g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
               nearest != NULL ? "there is no %s '%s'\ndid you mean '%s'?" : "there is no %s '%s'",
               what, shown, nearest);
}

gboolean
lodge_bus_options_check (GVariant *options, const LodgeBusOption *table, const char *what,
                         GError **error)
{
  static const LodgeBusOption none[] = { { NULL, NULL } };
  guint64 seen = 0;
  const char *name;
  GVariantIter iter;

  if (table == NULL)
    table = none;
  g_variant_iter_init (&iter, options);
  for (;;)
    {
      g_autoptr (GVariant) value = NULL;

      if (!g_variant_iter_next (&iter, "{&sv}", &name, &value))
        return TRUE;

      gsize row = find_row (table, name);
      if (table[row].name == NULL)
        {
          set_unknown (table, what, name, error);
          return FALSE;
        }
      if (!g_variant_is_of_type (value, G_VARIANT_TYPE (table[row].type)))
        {
          g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
                       "%s '%s' is of type '%s', not '%s'", what, name,
                       g_variant_get_type_string (value), table[row].type);
          return FALSE;
        }
      if ((seen & (G_GUINT64_CONSTANT (1) << row)) != 0)
        {
          g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT, "%s '%s' is given twice",
                       what, name);
          return FALSE;
        }
      seen |= G_GUINT64_CONSTANT (1) << row;
    }
}

gboolean
lodge_bus_options_get_bool (GVariant *options, const char *name)
{
  gboolean value = FALSE;

  g_variant_lookup (options, name, "b", &value);
  return value;
}

guint32
lodge_bus_options_get_uint (GVariant *options, const char *name, guint32 fallback)
{
  guint32 value = fallback;

  g_variant_lookup (options, name, "u", &value);
  return value;
}

guint16
lodge_bus_options_get_uint16 (GVariant *options, const char *name, guint16 fallback)
{
  guint16 value = fallback;

  g_variant_lookup (options, name, "q", &value);
  return value;
}

const char *
lodge_bus_options_get_string (GVariant *options, const char *name)
{
  const char *value = NULL;

  g_variant_lookup (options, name, "&s", &value);
  return value;
}

const char **
lodge_bus_options_get_strings (GVariant *options, const char *name)
{
  const char **value = NULL;

  g_variant_lookup (options, name, "^a&s", &value);
  return value;
}

gboolean
lodge_bus_options_get_fd (GVariant *options, const char *name, GUnixFDList *fds, int *out_fd,
                          GError **error)
{
  g_autoptr (GVariant) value = g_variant_lookup_value (options, name, G_VARIANT_TYPE_HANDLE);
  int n_fds = 0;
  const int *peeked = fds != NULL ? g_unix_fd_list_peek_fds (fds, &n_fds) : NULL;

  if (value == NULL)
    {
      *out_fd = -1;
      return TRUE;
    }

  gint32 index = g_variant_get_handle (value);
  if (index < 0 || index >= n_fds)
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
                   "option '%s' speaks of a file that did not come with the call", name);
      return FALSE;
    }
  *out_fd = peeked[index];
  return TRUE;
}
