/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-config-keys.h"

#include <string.h>

#include "lodge-json.h"
#include "lodge-name.h"
#include "lodge-units.h"

#define MIB (G_GUINT64_CONSTANT (1) << 20)

/* 16 KiB of user data is what clouds admit; environment variables are far shorter. */
#define STRING_MAX 16384

static const char *const accel_choices[] = { "auto", "kvm", "tcg", NULL };
static const char *const cpu_choices[] = { "auto", "host", "maximum", NULL };
static const char *const firmware_choices[] = { "bios", "uefi", NULL };

static const LodgeConfigKey config_keys[] = {
  { .key = "cloud-init.network-config",
    .type = LODGE_CONFIG_TEXT,
    .kinds = LODGE_CONFIG_FOR_BOTH,
    .help = "network configuration for cloud-init, at the next start" },
  { .key = "cloud-init.user-data",
    .type = LODGE_CONFIG_TEXT,
    .kinds = LODGE_CONFIG_FOR_BOTH,
    .help = "what cloud-init does at the first boot (#cloud-config, or a script)" },
  { .key = "cloud-init.vendor-data",
    .type = LODGE_CONFIG_TEXT,
    .kinds = LODGE_CONFIG_FOR_BOTH,
    .help = "the same, which cloud-init.user-data has precedence over" },
  { .key = "environment.*",
    .type = LODGE_CONFIG_STRING,
    .kinds = LODGE_CONFIG_FOR_BOTH,
    .live = TRUE,
    .help = "variable that exec and shell set in the instance" },
  { .key = "limits.cpu",
    .type = LODGE_CONFIG_CPUS,
    .kinds = LODGE_CONFIG_FOR_BOTH,
    .fallback = { NULL, "2" },
    .help = "number of CPUs (2), or which of the host's (0-1,3)" },
  { .key = "limits.memory",
    .type = LODGE_CONFIG_SIZE,
    .kinds = LODGE_CONFIG_FOR_BOTH,
    .fallback = { NULL, "1GiB" },
    .min = 8 * MIB,
    .max = G_MAXINT64,
    .help = "memory that the instance may use at most (512MiB)" },
  { .key = "limits.processes",
    .type = LODGE_CONFIG_UINT,
    .kinds = LODGE_CONFIG_FOR_CONTAINER,
    .fallback = { "5000", NULL },
    .min = 8,
    .max = 4194304,
    .help = "number of processes and threads at most" },
  { .key = "user.*",
    .type = LODGE_CONFIG_STRING,
    .kinds = LODGE_CONFIG_FOR_BOTH,
    .live = TRUE,
    .help = "a note of your own; Lodge does nothing with it" },
  { .key = "user.meta-data",
    .type = LODGE_CONFIG_TEXT,
    .kinds = LODGE_CONFIG_FOR_BOTH,
    .help = "lines added to cloud-init's meta-data, as in LXD" },
  { .key = "user.network-config",
    .type = LODGE_CONFIG_TEXT,
    .kinds = LODGE_CONFIG_FOR_BOTH,
    .help = "older name of cloud-init.network-config" },
  { .key = "user.user-data",
    .type = LODGE_CONFIG_TEXT,
    .kinds = LODGE_CONFIG_FOR_BOTH,
    .help = "older name of cloud-init.user-data" },
  { .key = "user.vendor-data",
    .type = LODGE_CONFIG_TEXT,
    .kinds = LODGE_CONFIG_FOR_BOTH,
    .help = "older name of cloud-init.vendor-data" },
  { .key = "vm.accel",
    .type = LODGE_CONFIG_ENUM,
    .kinds = LODGE_CONFIG_FOR_VM,
    .fallback = { NULL, "auto" },
    .choices = accel_choices,
    .help = "auto: KVM when it has been proven to work on this host, else emulation (tcg)" },
  { .key = "vm.cpu",
    .type = LODGE_CONFIG_WORD,
    .kinds = LODGE_CONFIG_FOR_VM,
    .fallback = { NULL, "auto" },
    .choices = cpu_choices,
    .help = "processor: host (with KVM), maximum, or a model (EPYC); auto: the best there is" },
  { .key = "vm.firmware",
    .type = LODGE_CONFIG_ENUM,
    .kinds = LODGE_CONFIG_FOR_VM,
    .fallback = { NULL, "bios" },
    .choices = firmware_choices,
    .help = "what starts the VM: bios or uefi" },
};

static const char *const type_nicks[]
    = { "string", "size", "integer", "cpus", "boolean", "enum", "word", "text" };

const LodgeConfigKey *
lodge_config_keys (gsize *out_n_keys)
{
  *out_n_keys = G_N_ELEMENTS (config_keys);
  return config_keys;
}

/* The suffix of a ".*" key: what environment variables and metadata can carry. */
static gboolean
suffix_is_valid (const char *suffix)
{
  gsize length = strlen (suffix);

  if (length == 0 || length > 128)
    return FALSE;
  for (gsize i = 0; i < length; i++)
    if (!g_ascii_isalnum (suffix[i]) && strchr ("_.-", suffix[i]) == NULL)
      return FALSE;
  return TRUE;
}

/* A key of its own counts before the ".*" that it would also fit. */
const LodgeConfigKey *
lodge_config_key_find (const char *key)
{
  const LodgeConfigKey *found = NULL;

  for (gsize i = 0; i < G_N_ELEMENTS (config_keys); i++)
    {
      const char *row = config_keys[i].key;
      gsize stem = strlen (row) - 1;

      if (strcmp (row, key) == 0)
        return &config_keys[i];
      if (row[stem] == '*' && strncmp (row, key, stem) == 0 && suffix_is_valid (key + stem))
        found = &config_keys[i];
    }
  return found;
}

/* "2", or "0-1,3": at most 8192 as in Linux, and no empty or reversed range. */
static gboolean
cpus_are_valid (const char *text)
{
  guint64 first, last;
  g_auto (GStrv) parts = NULL;

  if (lodge_parse_uint (text, 1, 8192, &first, NULL))
    return TRUE;
  if (strpbrk (text, ",-") == NULL)
    return FALSE;
  parts = g_strsplit (text, ",", -1);
  for (gsize i = 0; parts[i] != NULL; i++)
    {
      g_auto (GStrv) range = g_strsplit (parts[i], "-", 2);

      if (range[0] == NULL || !lodge_parse_uint (range[0], 0, 8191, &first, NULL))
        return FALSE;
      if (range[1] != NULL && !lodge_parse_uint (range[1], first, 8191, &last, NULL))
        return FALSE;
    }
  return TRUE;
}

/* @blanks: control characters that are none */
static gboolean
check_characters (const char *value, const char *blanks, GError **error)
{
  const char *why = NULL;

  if (strlen (value) > STRING_MAX)
    why = "it is longer than 16384 bytes";
  else if (!g_utf8_validate (value, -1, NULL))
    why = "it is not UTF-8";
  else
    for (const char *p = value; *p != '\0' && why == NULL; p++)
      if (g_ascii_iscntrl (*p) && strchr (blanks, *p) == NULL)
        why = "it has a control character in it";
  if (why == NULL)
    return TRUE;
  g_set_error_literal (error, LODGE_ERROR, LODGE_ERROR_INVALID_CONFIG, why);
  return FALSE;
}

static gboolean
check_string (const LodgeConfigKey *row, const char *value, GError **error)
{
  return check_characters (value, "\t", error);
}

static gboolean
check_text (const LodgeConfigKey *row, const char *value, GError **error)
{
  return check_characters (value, "\t\r\n", error);
}

static gboolean
check_size (const LodgeConfigKey *row, const char *value, GError **error)
{
  guint64 bytes;

  if (!lodge_parse_size (value, &bytes, error))
    return FALSE;
  if (bytes >= row->min && bytes <= row->max)
    return TRUE;

  g_autofree char *least = lodge_format_size (row->min);
  g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_CONFIG, "it must be %s or more", least);
  return FALSE;
}

static gboolean
check_uint (const LodgeConfigKey *row, const char *value, GError **error)
{
  guint64 number;

  return lodge_parse_uint (value, row->min, row->max, &number, error);
}

static gboolean
check_cpus (const LodgeConfigKey *row, const char *value, GError **error)
{
  if (cpus_are_valid (value))
    return TRUE;
  g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_CONFIG,
               "it is neither a number of CPUs nor a set of them\nwrite 2 for two CPUs, or 0-1,3 "
               "for these three of the host");
  return FALSE;
}

static gboolean
check_choice (const LodgeConfigKey *row, const char *value, GError **error)
{
  if (g_strv_contains (row->choices, value))
    return TRUE;

  g_autofree char *list = g_strjoinv (", ", (char **) row->choices);
  g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_CONFIG, "it must be one of: %s", list);
  return FALSE;
}

/* Whether there is such a thing is for who uses it to say; `choices` helps completion. */
static gboolean
check_word (const LodgeConfigKey *row, const char *value, GError **error)
{
  static const char allowed[] = G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "._-";
  gsize length = strlen (value);

  if (length > 0 && length <= 64 && strspn (value, allowed) == length)
    return TRUE;
  g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_CONFIG,
               "it must be a name: letters, digits, “.”, “_” and “-”, 64 at most");
  return FALSE;
}

static gboolean
check_bool (const LodgeConfigKey *row, const char *value, GError **error)
{
  if (strcmp (value, "true") == 0 || strcmp (value, "false") == 0)
    return TRUE;
  g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_CONFIG, "it must be true or false");
  return FALSE;
}

typedef gboolean (*CheckFunc) (const LodgeConfigKey *row, const char *value, GError **error);

static const CheckFunc checks[] = {
  [LODGE_CONFIG_STRING] = check_string, [LODGE_CONFIG_SIZE] = check_size,
  [LODGE_CONFIG_UINT] = check_uint,     [LODGE_CONFIG_CPUS] = check_cpus,
  [LODGE_CONFIG_BOOL] = check_bool,     [LODGE_CONFIG_ENUM] = check_choice,
  [LODGE_CONFIG_WORD] = check_word,     [LODGE_CONFIG_TEXT] = check_text,
};

static void
set_unknown_key (GError **error, const char *key)
{
  const char *names[G_N_ELEMENTS (config_keys) + 1] = { NULL };
  g_autofree char *shown = lodge_text_escape (key);

  for (gsize i = 0; i < G_N_ELEMENTS (config_keys); i++)
    names[i] = config_keys[i].key;

  const char *nearest = lodge_nearest (key, names);
  g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_CONFIG,
               "there is no configuration key “%.70s”\n%s%s%s", shown,
               nearest != NULL ? "did you mean " : "`lodge help keys` lists them",
               nearest != NULL ? nearest : "", nearest != NULL ? "?" : "");
}

gboolean
lodge_config_validate_value (LodgeKind kind, const char *key, const char *value, GError **error)
{
  const LodgeConfigKey *row = lodge_config_key_find (key);
  g_autoptr (GError) why = NULL;

  if (row == NULL)
    {
      set_unknown_key (error, key);
      return FALSE;
    }
  if ((row->kinds & (1u << kind)) == 0)
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_CONFIG, "%s is not for a %s", key,
                   lodge_kind_nick (kind));
      return FALSE;
    }
  if (checks[row->type](row, value, &why))
    return TRUE;

  /* Texts and variables carry passwords, and errors go to logs. */
  if (row->type == LODGE_CONFIG_TEXT || row->type == LODGE_CONFIG_STRING)
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_CONFIG, "%s: %s", key, why->message);
      return FALSE;
    }
  g_autofree char *head = g_strndup (value, 70);
  g_autofree char *shown = lodge_text_escape (head);
  g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_CONFIG, "%s=%s: %s", key, shown,
               why->message);
  return FALSE;
}

gboolean
lodge_config_validate (LodgeKind kind, GHashTable *config, GError **error)
{
  GHashTableIter iter;
  gpointer key, value;

  g_hash_table_iter_init (&iter, config);
  while (g_hash_table_iter_next (&iter, &key, &value))
    if (!lodge_config_validate_value (kind, key, value, error))
      return FALSE;
  return TRUE;
}

GHashTable *
lodge_config_effective (LodgeKind kind, GHashTable *own)
{
  GHashTable *effective = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  GHashTableIter iter;
  gpointer key, value;

  for (gsize i = 0; i < G_N_ELEMENTS (config_keys); i++)
    if (config_keys[i].fallback[kind] != NULL && (config_keys[i].kinds & (1u << kind)) != 0)
      g_hash_table_insert (effective, g_strdup (config_keys[i].key),
                           g_strdup (config_keys[i].fallback[kind]));
  if (own == NULL)
    return effective;
  g_hash_table_iter_init (&iter, own);
  while (g_hash_table_iter_next (&iter, &key, &value))
    g_hash_table_insert (effective, g_strdup (key), g_strdup (value));
  return effective;
}

static JsonNode *
row_to_json (const LodgeConfigKey *row)
{
  g_autoptr (JsonBuilder) builder = json_builder_new ();

  json_builder_begin_object (builder);
  json_builder_set_member_name (builder, "key");
  json_builder_add_string_value (builder, row->key);
  json_builder_set_member_name (builder, "type");
  json_builder_add_string_value (builder, type_nicks[row->type]);
  json_builder_set_member_name (builder, "kinds");
  json_builder_begin_array (builder);
  for (int kind = LODGE_KIND_CONTAINER; kind <= LODGE_KIND_VM; kind++)
    if ((row->kinds & (1u << kind)) != 0)
      json_builder_add_string_value (builder, lodge_kind_nick ((LodgeKind) kind));
  json_builder_end_array (builder);
  json_builder_set_member_name (builder, "default");
  json_builder_begin_object (builder);
  for (int kind = LODGE_KIND_CONTAINER; kind <= LODGE_KIND_VM; kind++)
    if (row->fallback[kind] != NULL)
      {
        json_builder_set_member_name (builder, lodge_kind_nick ((LodgeKind) kind));
        json_builder_add_string_value (builder, row->fallback[kind]);
      }
  json_builder_end_object (builder);
  if (row->choices != NULL)
    {
      json_builder_set_member_name (builder, "choices");
      json_builder_begin_array (builder);
      for (gsize i = 0; row->choices[i] != NULL; i++)
        json_builder_add_string_value (builder, row->choices[i]);
      json_builder_end_array (builder);
    }
  json_builder_set_member_name (builder, "live");
  json_builder_add_boolean_value (builder, row->live);
  json_builder_set_member_name (builder, "help");
  json_builder_add_string_value (builder, row->help);
  json_builder_end_object (builder);
  return json_builder_get_root (builder);
}

char *
lodge_config_schema_json (void)
{
  g_autoptr (JsonNode) root = json_node_new (JSON_NODE_ARRAY);
  JsonArray *rows = json_array_new ();

  for (gsize i = 0; i < G_N_ELEMENTS (config_keys); i++)
    json_array_add_element (rows, row_to_json (&config_keys[i]));
  json_node_take_array (root, rows);
  return json_to_string (root, FALSE);
}
