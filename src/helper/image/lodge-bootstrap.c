/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * mmdebstrap shows progress on terminals only, so its verbose output, which is apt's and dpkg's,
 * is read: stages are its own "I:" lines, and within a stage packages and bytes are counted.
 */
#include "lodge-bootstrap.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lodge-command.h"
#include "lodge-mirror.h"
#include "lodge-status.h"

#define HOOK_DIR           "/usr/share/mmdebstrap/hooks/maybe-merged-usr"
#define REPORT_INTERVAL_US (150 * 1000)

/* How far the whole is when a stage begins, as measured for a minimal system; the work within
 * the two installing stages is one part bytes, one part unpacking, one part configuring. */
static const struct
{
  const char *line;
  const char *name;
  double start;
} STAGES[] = {
  { "I: running apt-get update", "package lists", 0.01 },
  { "I: downloading packages", "download", 0.12 },
  { "I: extracting archives", "unpack", 0.25 },
  { "I: installing essential packages", "unpack", 0.30 },
  { "I: installing remaining packages", "download", 0.55 },
  { "I: cleaning package lists", "clean up", 0.96 },
};

/* What apt and dpkg say when something is wrong, the most telling first. */
static const struct
{
  const char *text;
  const char *nick;
  const char *format; /* with the mirror's host */
} CAUSES[] = {
  { "No space left on device", "NoSpace", "There is no space left to build the image" },
  { "nor via qemu user emulation", "NotSupported",
    "This host cannot run programs of that architecture.  Install qemu-user-static" },
  { "NO_PUBKEY", "VerificationFailed", "The mirror %s is not signed by a known key" },
  { "BADSIG", "VerificationFailed", "The mirror %s has a bad signature" },
  { "signatures were invalid", "VerificationFailed", "The mirror %s has a bad signature" },
  { "Hash Sum mismatch", "VerificationFailed", "A file of the mirror %s has a wrong checksum" },
  { "is not valid yet", "VerificationFailed", "The index of the mirror %s is from the future" },
  { "is expired", "VerificationFailed", "The index of the mirror %s has expired" },
  { "does not have a Release file", "Download", "The mirror %s does not have this release" },
  { "Could not resolve", "Download", "The mirror %s cannot be reached: its name is unknown" },
  { "Temporary failure resolving", "Download",
    "The mirror %s cannot be reached: its name cannot be looked up" },
  { "Connection refused", "Download", "The mirror %s cannot be reached: it refuses connections" },
  { "Could not connect", "Download", "The mirror %s cannot be reached" },
  { "Cannot initiate the connection", "Download", "The mirror %s cannot be reached" },
  { "Connection timed out", "Download", "The mirror %s cannot be reached: it does not answer" },
  { "Connection failed", "Download", "The mirror %s cannot be reached" },
  { "Failed to fetch", "Download", "A file of the mirror %s cannot be downloaded" },
  { "Unable to fetch", "Download", "A file of the mirror %s cannot be downloaded" },
  /* Said as well when the signature could not be fetched. */
  { "is not signed", "VerificationFailed", "The mirror %s is not signed" },
  { "Unable to locate package", "Download", "The mirror %s lacks a package of the recipe" },
};

typedef struct
{
  const LodgeBootstrap *bootstrap;
  gsize stage;
  const char *stage_name;
  guint packages; /* that this stage installs */
  guint unpacked;
  guint configured;
  guint64 bytes_total;
  guint64 bytes_done;
  gint64 last_report;
  gsize cause; /* index into CAUSES; their number: none seen */
  GString *last_error;
} Watch;

static double
share (double done, double total)
{
  return total > 0 ? MIN (done / total, 1.0) : 0;
}

static void
report (Watch *watch, bool now)
{
  gint64 time = g_get_monotonic_time ();
  if (!now && time - watch->last_report < REPORT_INTERVAL_US)
    return;
  watch->last_report = time;
  gsize next = watch->stage + 1;
  double start = STAGES[watch->stage].start;
  double end = next < G_N_ELEMENTS (STAGES) ? STAGES[next].start : 1.0;
  double inner
      = (share ((double) watch->bytes_done, (double) watch->bytes_total)
         + share (watch->unpacked, watch->packages) + share (watch->configured, watch->packages))
        / 3;
  lodge_status_progress ((start + (end - start) * inner) * watch->bootstrap->progress_end,
                         watch->bytes_done, watch->bytes_total, watch->stage_name);
}

static void
set_stage_name (Watch *watch, const char *name)
{
  bool changed = strcmp (watch->stage_name, name) != 0;
  watch->stage_name = name;
  report (watch, changed);
}

/** "20.4 MB" or "[2040 kB]" → bytes; apt counts in powers of 1000. */
static guint64
parse_apt_size (const char *text)
{
  static const struct
  {
    const char *unit;
    double factor;
  } UNITS[] = { { "kB", 1e3 }, { "MB", 1e6 }, { "GB", 1e9 }, { "B", 1 } };
  char *end;
  double value = g_ascii_strtod (text, &end);
  for (gsize i = 0; i < G_N_ELEMENTS (UNITS); i++)
    if (*end == ' ' && g_str_has_prefix (end + 1, UNITS[i].unit))
      return (guint64) (value * UNITS[i].factor);
  return 0;
}

static void
count_get (Watch *watch, const char *line)
{
  const char *size = strrchr (line, '[');
  if (size != NULL)
    watch->bytes_done += parse_apt_size (size + 1);
  set_stage_name (watch, STAGES[watch->stage].start < 0.1 ? "package lists" : "download");
}

static void
count_need (Watch *watch, const char *line)
{
  watch->bytes_total = parse_apt_size (line + strlen ("Need to get "));
  watch->bytes_done = 0;
}

static void
count_new (Watch *watch, const char *line)
{
  const char *number = strstr (line, "upgraded, ");
  if (number != NULL)
    watch->packages = (guint) atoi (number + strlen ("upgraded, "));
}

static void
count_unpacked (Watch *watch, const char *line)
{
  watch->unpacked++;
  set_stage_name (watch, "unpack");
}

static void
count_configured (Watch *watch, const char *line)
{
  watch->configured++;
  set_stage_name (watch, "configure");
}

/* The daemon's log gets the words of apt and dpkg; the user gets their meaning. */
static void
remember_error (Watch *watch, const char *line)
{
  fprintf (stderr, "%s\n", line);
  g_string_assign (watch->last_error, line);
}

static const struct
{
  const char *prefix;
  void (*func) (Watch *watch, const char *line);
} COUNTERS[] = {
  { "Get:", count_get },
  { "Need to get ", count_need },
  { "0 upgraded, ", count_new },
  { "Unpacking ", count_unpacked },
  { "Setting up ", count_configured },
  { "E: ", remember_error },

  { "dpkg: error", remember_error },
};

static void
take_line (char *line, gpointer user_data)
{
  Watch *watch = user_data;

  for (gsize i = 0; i < watch->cause; i++)
    if (strstr (line, CAUSES[i].text) != NULL)
      watch->cause = i;
  for (gsize i = 0; i < G_N_ELEMENTS (STAGES); i++)
    if (g_str_has_prefix (line, STAGES[i].line))
      {
        /* The essential packages were counted when they were downloaded. */
        bool keep_count = strcmp (STAGES[i].name, "unpack") == 0;
        watch->packages = keep_count ? watch->packages : 0;
        watch->unpacked = watch->configured = 0;
        watch->bytes_done = watch->bytes_total = 0;
        watch->stage = i;
        watch->stage_name = STAGES[i].name;
        report (watch, true);
        return;
      }
  for (gsize i = 0; i < G_N_ELEMENTS (COUNTERS); i++)
    if (g_str_has_prefix (line, COUNTERS[i].prefix))
      COUNTERS[i].func (watch, line);
}

/** "deb http://host/debian suite main" → "host" */
static char *
host_of_source (const char *source)
{
  const char *host = strstr (source, "://");
  if (host == NULL)
    return g_strdup ("of this host");
  host += 3;
  const char *at = strchr (host, '@');
  gsize length = strcspn (host, "/ ");
  if (at != NULL && (gsize) (at - host) < length)
    {
      length -= (gsize) (at + 1 - host);
      host = at + 1;
    }
  return g_strndup (host, length);
}

static bool
explain (const Watch *watch, const char *source, LodgeFail *fail)
{
  if (watch->cause < G_N_ELEMENTS (CAUSES))
    {
      g_autofree char *host = host_of_source (source);
      g_auto (GStrv) parts = g_strsplit (CAUSES[watch->cause].format, "%s", 2);
      g_autofree char *text = g_strjoinv (host, parts);
      return lodge_fail (fail, CAUSES[watch->cause].nick, "%s", text);
    }
  if (watch->last_error->len > 0)
    return lodge_fail (fail, "HelperFailed", "The image cannot be built: %s",
                       watch->last_error->str);
  return false;
}

static void
add (GPtrArray *argv, const char *format, ...)
{
  va_list args;
  va_start (args, format);
  g_ptr_array_add (argv, g_strdup_vprintf (format, args));
  va_end (args);
}

/* Manuals and translations make half of a minimal system; what is installed later has them, as
 * the options do not stay in the image. */
static const char *const OPTIONS[] = {
  "--mode=root",
  "--verbose",
  "--variant=minbase",
  "--format=directory",
  "--aptopt=APT::Install-Recommends \"false\"",
  "--aptopt=Acquire::Languages \"none\"",
  "--aptopt=Acquire::Retries \"1\"",
  "--aptopt=Acquire::http::Timeout \"20\"",
  "--dpkgopt=force-unsafe-io",
  "--dpkgopt=path-exclude=/usr/share/man/*",
  "--dpkgopt=path-exclude=/usr/share/locale/*",
  "--dpkgopt=path-exclude=/usr/share/doc/*",
  "--dpkgopt=path-include=/usr/share/doc/*/copyright",
};

static GPtrArray *
make_argv (const LodgeBootstrap *bootstrap, char **sources)
{
  g_autoptr (GPtrArray) argv = g_ptr_array_new_with_free_func (g_free);
  g_autofree char *packages = lodge_recipe_packages (bootstrap->recipe, bootstrap->is_vm,
                                                     bootstrap->variant, bootstrap->machine);
  g_auto (GStrv) options = lodge_mirror_options ();

  add (argv, "mmdebstrap");
  for (gsize i = 0; i < G_N_ELEMENTS (OPTIONS); i++)
    add (argv, "%s", OPTIONS[i]);
  for (char **option = options; *option != NULL; option++)
    add (argv, "--aptopt=%s", *option);
  if (access (HOOK_DIR, F_OK) == 0)
    add (argv, "--hook-dir=%s", HOOK_DIR);
  if (bootstrap->early_dir != NULL)
    add (argv, "--essential-hook=sync-in %s /", bootstrap->early_dir);
  add (argv, "--architectures=%s", bootstrap->machine);
  add (argv, "--include=%s", packages);
  add (argv, "%s", bootstrap->recipe->suite);
  add (argv, "%s", bootstrap->target);
  for (char **source = sources; *source != NULL; source++)
    add (argv, "%s", *source);
  g_ptr_array_add (argv, NULL);
  return g_steal_pointer (&argv);
}

bool
lodge_bootstrap_run (const LodgeBootstrap *bootstrap, LodgeFail *fail)
{
  g_auto (GStrv) sources = lodge_mirror_sources (bootstrap->recipe, bootstrap->mirror);
  g_autoptr (GPtrArray) argv = make_argv (bootstrap, sources);
  g_autoptr (GString) last_error = g_string_new (NULL);
  Watch watch = { .bootstrap = bootstrap,
                  .stage_name = "start",
                  .cause = G_N_ELEMENTS (CAUSES),
                  .last_error = last_error };

  if (lodge_command_run ((const char *const *) argv->pdata, NULL, take_line, &watch, fail))
    return true;
  explain (&watch, sources[0], fail);
  return false;
}
