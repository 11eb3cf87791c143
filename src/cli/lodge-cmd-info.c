/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>

#include "lodge-cmd.h"
#include "lodge-i18n.h"
#include "lodge-name.h"
#include "lodge-output.h"
#include "lodge-rows.h"
#include "lodge-table.h"
#include "lodge-units.h"

#define LABEL_WIDTH 15

/* How a value of the report is shown. */
typedef enum
{
  SHOW_PLAIN,
  SHOW_SIZE,
  SHOW_TIME,
  SHOW_SECONDS,
  SHOW_NANOSECONDS,
} Show;

typedef struct
{
  const char *key;
  const char *label;
  Show show;
} Field;

static const Field head_fields[] = {
  { "name", N_ ("Name"), SHOW_PLAIN },         { "uuid", N_ ("UUID"), SHOW_PLAIN },
  { "kind", N_ ("Kind"), SHOW_PLAIN },         { "state", N_ ("State"), SHOW_PLAIN },
  { "booted", N_ ("Booted"), SHOW_PLAIN },     { "origin", N_ ("Origin"), SHOW_PLAIN },
  { "uri", N_ ("libvirt"), SHOW_PLAIN },       { "image", N_ ("Image"), SHOW_PLAIN },
  { "medium", N_ ("Medium"), SHOW_PLAIN },     { "created-at", N_ ("Created"), SHOW_TIME },
  { "started-at", N_ ("Started"), SHOW_TIME }, { "capabilities", N_ ("Can"), SHOW_PLAIN },
};

static const Field usage_fields[] = {
  { "cpu-ns", N_ ("CPU time"), SHOW_NANOSECONDS },
  { "memory", N_ ("Memory"), SHOW_SIZE },
  { "memory-peak", N_ ("Memory peak"), SHOW_SIZE },
  { "memory-limit", N_ ("Memory limit"), SHOW_SIZE },
  { "swap", N_ ("Swap"), SHOW_SIZE },
  { "disk", N_ ("Disk"), SHOW_SIZE },
  { "processes", N_ ("Processes"), SHOW_PLAIN },
  { "processes-limit", N_ ("Process limit"), SHOW_PLAIN },
  { "uptime", N_ ("Uptime"), SHOW_SECONDS },
};

static char *
show_value (GVariant *object, const Field *field)
{
  guint64 number = lodge_row_uint (object, field->key, 0);
  g_autoptr (GVariant) value = NULL;

  switch (field->show)
    {
    case SHOW_SIZE:
      return number > 0 ? lodge_format_size (number) : NULL;
    case SHOW_TIME:
      return lodge_format_time (number);
    case SHOW_SECONDS:
      return number > 0 ? lodge_format_duration (number) : NULL;
    case SHOW_NANOSECONDS:
      return number > 0 ? g_strdup_printf ("%" G_GUINT64_FORMAT ".%02u s", number / 1000000000,
                                           (guint) (number % 1000000000 / 10000000))
                        : NULL;
    case SHOW_PLAIN:
    default:
      value = g_variant_lookup_value (object, field->key, NULL);
      return value != NULL ? lodge_output_plain (value) : NULL;
    }
}

static void
print_label (const char *label, guint indent)
{
  guint width = lodge_text_width (label) + indent;

  printf ("%*s%s:%*s ", (int) indent, "", label,
          width < LABEL_WIDTH ? (int) (LABEL_WIDTH - width) : 0, "");
}

static void
print_fields (LodgeCli *cli, GVariant *object, const Field *fields, gsize n, guint indent)
{
  for (gsize i = 0; i < n; i++)
    {
      g_autofree char *text = show_value (object, &fields[i]);
      LodgeColor color = LODGE_COLOR_PLAIN;

      if (text == NULL || text[0] == '\0')
        continue;
      print_label (_ (fields[i].label), indent);
      if (strcmp (fields[i].key, "state") == 0)
        color = lodge_table_state_color (text);
      if (color != LODGE_COLOR_PLAIN)
        printf ("%s%s%s\n", lodge_cli_color (cli->color_stdout, color), text,
                lodge_cli_color_end (cli->color_stdout));
      else
        puts (text);
    }
}

static void
print_config (GVariant *object)
{
  g_autoptr (GVariant) config = g_variant_lookup_value (object, "config", G_VARIANT_TYPE ("a{ss}"));

  if (config == NULL || g_variant_n_children (config) == 0)
    return;
  printf ("%s:\n", _ ("Config"));
  for (gsize i = 0; i < g_variant_n_children (config); i++)
    {
      const char *key, *value;
      g_variant_get_child (config, i, "{&s&s}", &key, &value);
      g_autofree char *shown_key = lodge_text_escape (key);
      g_autofree char *shown_value = lodge_text_escape (value);
      printf ("  %s=%s\n", shown_key, shown_value);
    }
}

static void
print_addresses (GVariant *object)
{
  g_autoptr (GVariant) list
      = g_variant_lookup_value (object, "addresses", G_VARIANT_TYPE ("aa{sv}"));

  if (list == NULL || g_variant_n_children (list) == 0)
    return;
  printf ("%s:\n", _ ("Addresses"));
  for (gsize i = 0; i < g_variant_n_children (list); i++)
    {
      g_autoptr (GVariant) entry = g_variant_get_child_value (list, i);
      g_autofree char *device = lodge_row_string (entry, "device");
      g_autofree char *address = lodge_row_string (entry, "address");
      g_autofree char *shown_device = lodge_text_escape (device != NULL ? device : "");
      g_autofree char *shown_address = lodge_text_escape (address != NULL ? address : "");
      guint64 prefix = lodge_row_uint (entry, "prefix", 0);

      printf ("  %s", shown_address);
      if (prefix > 0)
        printf ("/%" G_GUINT64_FORMAT, prefix);
      printf (shown_device[0] != '\0' ? " (%s)\n" : "%s\n", shown_device);
    }
}

static void
print_networks (GVariant *usage)
{
  g_autoptr (GVariant) networks
      = g_variant_lookup_value (usage, "networks", G_VARIANT_TYPE ("a{sa{sv}}"));

  for (gsize i = 0; networks != NULL && i < g_variant_n_children (networks); i++)
    {
      g_autoptr (GVariant) counters = NULL;
      const char *name;

      g_variant_get_child (networks, i, "{&s@a{sv}}", &name, &counters);
      g_autofree char *shown = lodge_text_escape (name);
      g_autofree char *received = lodge_format_size (lodge_row_uint (counters, "rx-bytes", 0));
      g_autofree char *sent = lodge_format_size (lodge_row_uint (counters, "tx-bytes", 0));
      print_label (shown, 2);
      /* TRANSLATORS: amounts of data that a network device received and sent */
      printf (_ ("%s in, %s out\n"), received, sent);
    }
}

static void
print_drift (LodgeCli *cli, GVariant *object)
{
  g_autoptr (GVariant) drift
      = g_variant_lookup_value (object, "drift", G_VARIANT_TYPE_STRING_ARRAY);

  if (drift == NULL || g_variant_n_children (drift) == 0)
    return;
  printf ("%s%s:%s\n", lodge_cli_color (cli->color_stdout, LODGE_COLOR_BUSY),
          _ ("Changed outside of Lodge"), lodge_cli_color_end (cli->color_stdout));
  for (gsize i = 0; i < g_variant_n_children (drift); i++)
    {
      const char *line;
      g_variant_get_child (drift, i, "&s", &line);
      g_autofree char *shown = lodge_text_escape (line);
      printf ("  %s\n", shown);
    }
}

static void
print_report (LodgeCli *cli, GVariant *object)
{
  g_autoptr (GVariant) usage = g_variant_lookup_value (object, "usage", G_VARIANT_TYPE_VARDICT);

  print_fields (cli, object, head_fields, G_N_ELEMENTS (head_fields), 0);
  print_addresses (object);
  print_config (object);
  if (usage != NULL && g_variant_n_children (usage) > 0)
    {
      printf ("%s:\n", _ ("Usage"));
      print_fields (cli, usage, usage_fields, G_N_ELEMENTS (usage_fields), 2);
      print_networks (usage);
    }
  print_drift (cli, object);
}

/* All properties, and "usage" when the service can tell it. */
static GVariant *
fetch (LodgeClient *client, const char *name, GError **error)
{
  g_autofree char *path = lodge_client_get_instance (client, name, error);
  g_autoptr (GVariant) properties
      = path != NULL ? lodge_client_get_properties (client, path, "Instance", error) : NULL;
  g_autoptr (GVariant) row = NULL;
  g_autoptr (GVariant) usage = NULL;
  GVariantDict dict;

  if (properties == NULL)
    return NULL;
  row = lodge_rows_from_properties (properties);
  /* A stopped instance may have none; the rest is worth showing. */
  usage = lodge_client_call (client, path, "Instance", "GetUsage", g_variant_new ("(a{sv})", NULL),
                             "(a{sv})", NULL);
  g_variant_dict_init (&dict, row);
  if (usage != NULL)
    {
      g_autoptr (GVariant) inner = g_variant_get_child_value (usage, 0);
      g_variant_dict_insert_value (&dict, "usage", inner);
    }
  return g_variant_ref_sink (g_variant_dict_end (&dict));
}

static int
by_key (gconstpointer a, gconstpointer b)
{
  const char *left, *right;

  g_variant_get_child (*(GVariant *const *) a, 0, "&s", &left);
  g_variant_get_child (*(GVariant *const *) b, 0, "&s", &right);
  return strcmp (left, right);
}

/* The same order every time, for people and for diff. */
static GVariant *
sort_keys (GVariant *object)
{
  g_autoptr (GPtrArray) entries = g_ptr_array_new_with_free_func ((GDestroyNotify) g_variant_unref);

  for (gsize i = 0; i < g_variant_n_children (object); i++)
    g_ptr_array_add (entries, g_variant_get_child_value (object, i));
  g_ptr_array_sort (entries, by_key);
  return g_variant_ref_sink (g_variant_new_array (
      G_VARIANT_TYPE ("{sv}"), (GVariant *const *) entries->pdata, entries->len));
}

gboolean
lodge_cmd_info (LodgeCli *cli, const LodgeArgs *args, GError **error)
{
  LodgeClient *client = lodge_cli_get_client (cli, error);
  g_autoptr (GVariant) object
      = client != NULL ? fetch (client, lodge_args_word (args, 0), error) : NULL;

  if (object == NULL)
    return FALSE;
  if (lodge_args_string (args, "format") != NULL && lodge_output_is_for_programs (args))
    {
      g_autoptr (GVariant) sorted = sort_keys (object);
      return lodge_output_object (cli, args, sorted, error);
    }
  print_report (cli, object);
  return TRUE;
}

gboolean
lodge_cmd_dumpxml (LodgeCli *cli, const LodgeArgs *args, GError **error)
{
  LodgeClient *client = lodge_cli_get_client (cli, error);
  g_autofree char *path = client != NULL
                              ? lodge_client_get_instance (client, lodge_args_word (args, 0), error)
                              : NULL;
  g_autoptr (GVariant) body = NULL;
  const char *xml;

  if (path == NULL)
    return FALSE;
  body = lodge_client_call (client, path, "Instance", "GetXml", g_variant_new ("(a{sv})", NULL),
                            "(s)", error);
  if (body == NULL)
    return FALSE;
  g_variant_get (body, "(&s)", &xml);
  g_auto (GStrv) lines = g_strsplit (xml, "\n", -1);
  for (char **line = lines; *line != NULL; line++)
    {
      /* A title in it may be anybody's text. */
      g_autofree char *shown = cli->stdout_tty ? lodge_text_escape (*line) : g_strdup (*line);
      if (line[1] != NULL || shown[0] != '\0')
        puts (shown);
    }
  return TRUE;
}
