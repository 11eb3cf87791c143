/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-lxc-plan.h"

#include <sched.h>
#include <string.h>

#include "lodge-cpu-limit.h"
#include "lodge-fd.h"
#include "lodge-units.h"

#define PIDS_MAX       4194304
#define FIRST_BOOT_KEY "setup.first-boot"

LodgeLxcPaths *
lodge_lxc_paths_new (const char *state_dir, const char *run_dir, const char *uuid)
{
  LodgeLxcPaths *paths = g_new0 (LodgeLxcPaths, 1);
  paths->instance = g_build_filename (state_dir, "instances", uuid, NULL);
  paths->plan = g_build_filename (paths->instance, "plan", NULL);
  paths->root = g_build_filename (run_dir, "mnt", uuid, NULL);
  paths->control = g_build_filename (run_dir, "ctl", uuid, NULL);
  paths->runtime = g_build_filename (run_dir, "instances", uuid, NULL);
  paths->events = g_build_filename (run_dir, "events", NULL);
  return paths;
}

void
lodge_lxc_paths_free (LodgeLxcPaths *paths)
{
  if (paths == NULL)
    return;
  g_free (paths->instance);
  g_free (paths->plan);
  g_free (paths->root);
  g_free (paths->control);
  g_free (paths->runtime);
  g_free (paths->events);
  g_free (paths);
}

static const char *
get_config (const LodgeDomainSpec *spec, const char *key)
{
  const char *value = spec->config != NULL ? g_hash_table_lookup (spec->config, key) : NULL;
  return value != NULL && *value != '\0' ? value : NULL;
}

/* One line; a newline in a value would begin another key. */
static gboolean
append (GString *text, const char *key, const char *value, GError **error)
{
  if (value == NULL || strpbrk (value, "\n\r") != NULL)
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
                   "A container's plan cannot have this value for “%s”", key);
      return FALSE;
    }
  g_string_append_printf (text, "%s=%s\n", key, value);
  return TRUE;
}

static gboolean
append_pids_max (GString *text, const LodgeDomainSpec *spec, GError **error)
{
  const char *limit = get_config (spec, "limits.processes");
  guint64 number;
  g_autoptr (GError) local_error = NULL;
  if (limit != NULL && !lodge_parse_uint (limit, 1, PIDS_MAX, &number, &local_error))
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_CONFIG, "limits.processes of “%s”: %s",
                   spec->name, local_error->message);
      return FALSE;
    }
  return append (text, "pids-max", limit != NULL ? limit : "max", error);
}

/* What lodge-init does before the real init; an absent value is left to the image. */
static gboolean
append_setup (GString *text, const LodgeDomainSpec *spec, GError **error)
{
  const struct
  {
    const char *key;
    const char *value;
  } lines[] = {
    { "setup.hostname", spec->name },
    { "setup.domain", spec->dns_domain },
    { "setup.nameserver", spec->gateway },
    { FIRST_BOOT_KEY, "1" },
  };
  for (guint i = 0; i < G_N_ELEMENTS (lines); i++)
    if (lines[i].value != NULL && !append (text, lines[i].key, lines[i].value, error))
      return FALSE;
  return TRUE;
}

static gboolean
append_all (GString *text, const LodgeDomainSpec *spec, const LodgeLxcPaths *paths, GError **error)
{
  g_autofree char *idmap = g_strdup_printf ("%u %u", spec->idmap_base, spec->idmap_count);
  const struct
  {
    const char *key;
    const char *value;
  } lines[] = {
    { "version", "1" },
    { "uuid", spec->uuid },
    { "name", spec->name },
    { "idmap", idmap },
    { "lower", spec->lower_dir },
    { "upper", spec->upper_dir },
    { "work", spec->work_dir },
    { "root", paths->root },
    { "control", paths->control },
    { "runtime", paths->runtime },
    { "events", paths->events },
  };
  for (guint i = 0; i < G_N_ELEMENTS (lines); i++)
    if (!append (text, lines[i].key, lines[i].value, error))
      return FALSE;
  return append_pids_max (text, spec, error) && append_setup (text, spec, error);
}

static gboolean
make_directories (const LodgeLxcPaths *paths, GError **error)
{
  /* The control directory is seen by the container's root, who is nobody to the host. */
  return lodge_dir_make (paths->instance, 0700, error)
         && lodge_dir_make (paths->runtime, 0700, error)
         && lodge_dir_make (paths->control, 0755, error);
}

gboolean
lodge_lxc_plan_write (const LodgeDomainSpec *spec, const LodgeLxcPaths *paths, GError **error)
{
  g_autoptr (GString) text = g_string_new (NULL);
  return append_all (text, spec, paths, error) && make_directories (paths, error)
         && lodge_file_replace (paths->plan, text->str, (gssize) text->len, 0600, error);
}

/* Writes the plan again with one line more or less: the lines that begin with a key of @keys are
 * replaced by "<key>=<value>", or dropped for a NULL value. */
static gboolean
edit_plan (const LodgeLxcPaths *paths, const char *const *keys, const char *const *values,
           GError **error)
{
  g_autofree char *old = NULL;
  g_autoptr (GError) local_error = NULL;
  if (!g_file_get_contents (paths->plan, &old, NULL, &local_error))
    {
      g_propagate_error (error, lodge_error_normalize (g_steal_pointer (&local_error)));
      return FALSE;
    }
  g_autoptr (GString) text = g_string_new (NULL);
  g_auto (GStrv) lines = g_strsplit (g_strchomp (old), "\n", -1);
  for (char **line = lines; *line != NULL; line++)
    {
      g_autofree char *key = g_strndup (*line, strcspn (*line, "="));
      if (!g_strv_contains (keys, key))
        g_string_append_printf (text, "%s\n", *line);
    }
  for (guint i = 0; keys[i] != NULL; i++)
    if (values[i] != NULL)
      g_string_append_printf (text, "%s=%s\n", keys[i], values[i]);
  return strcmp (text->str, old) == 0
         || lodge_file_replace (paths->plan, text->str, (gssize) text->len, 0600, error);
}

gboolean
lodge_lxc_plan_rename (const LodgeLxcPaths *paths, const char *name, GError **error)
{
  /* The first boot under the new name puts it into /etc. */
  const char *keys[] = { "name", "setup.hostname", FIRST_BOOT_KEY, NULL };
  const char *values[] = { name, name, "1" };
  return edit_plan (paths, keys, values, error);
}

gboolean
lodge_lxc_plan_set_booted (const LodgeLxcPaths *paths, GError **error)
{
  const char *keys[] = { FIRST_BOOT_KEY, NULL };
  const char *values[] = { NULL };
  return edit_plan (paths, keys, values, error);
}

gboolean
lodge_lxc_plan_read_idmap (const char *plan, guint32 *out_base, guint32 *out_count)
{
  g_autofree char *text = NULL;
  if (!g_file_get_contents (plan, &text, NULL, NULL))
    return FALSE;
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);
  for (char **line = lines; *line != NULL; line++)
    {
      if (!g_str_has_prefix (*line, "idmap="))
        continue;
      g_auto (GStrv) numbers = g_strsplit (*line + strlen ("idmap="), " ", 2);
      guint64 base, count;
      if (g_strv_length (numbers) != 2
          || !lodge_parse_uint (numbers[0], 1, G_MAXUINT32, &base, NULL)
          || !lodge_parse_uint (numbers[1], 1, G_MAXUINT32 - base, &count, NULL))
        return FALSE;
      *out_base = (guint32) base;
      *out_count = (guint32) count;
      return TRUE;
    }
  return FALSE;
}

/* Containers are spread over the host's CPUs by their UUIDs; one that may use all is not pinned. */
static char *
choose_cpus (const char *uuid, guint count)
{
  cpu_set_t allowed;
  if (sched_getaffinity (0, sizeof allowed, &allowed) < 0 || count >= (guint) CPU_COUNT (&allowed))
    return NULL;
  g_autoptr (GArray) cpus = g_array_new (FALSE, FALSE, sizeof (int));
  for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
    if (CPU_ISSET (cpu, &allowed))
      g_array_append_val (cpus, cpu);

  GString *text = g_string_new (NULL);
  guint first = g_str_hash (uuid) % cpus->len;
  for (guint i = 0; i < count; i++)
    g_string_append_printf (text, "%s%d", i > 0 ? "," : "",
                            g_array_index (cpus, int, (first + i) % cpus->len));
  return g_string_free (text, FALSE);
}

gboolean
lodge_lxc_plan_cpu (const LodgeDomainSpec *spec, LodgeLxcXmlOptions *options, char **out_cpuset,
                    GError **error)
{
  const char *limit = get_config (spec, "limits.cpu");
  g_autofree char *cpuset = NULL;
  guint count = g_get_num_processors ();
  if (limit != NULL && !lodge_cpu_limit_parse (limit, &count, &cpuset, error))
    return FALSE;
  if (limit != NULL && cpuset == NULL)
    cpuset = choose_cpus (spec->uuid, count);
  options->vcpus = count;
  options->cpuset = cpuset;
  *out_cpuset = g_steal_pointer (&cpuset);
  return TRUE;
}
