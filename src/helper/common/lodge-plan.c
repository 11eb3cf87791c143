/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-plan.h"

#include "lodge-io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Ids of a container end here at the latest: the last two are "no id" and the overflow of int. */
#define ID_MAX 0x7fffffffLL

bool
lodge_plan_uuid_is_valid (const char *text)
{
  if (strlen (text) != LODGE_PLAN_UUID_LEN)
    return false;
  for (size_t i = 0; i < LODGE_PLAN_UUID_LEN; i++)
    {
      bool hyphen = i == 8 || i == 13 || i == 18 || i == 23;

      if (hyphen ? text[i] != '-' : !strchr ("0123456789abcdef", text[i]))
        return false;
    }
  return true;
}

/* Paths go into mount options and messages: absolute, no "..", nothing that needs quoting. */
static bool
path_is_plain (const char *path)
{
  static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                "0123456789/._-+@~=";
  const char *dots;

  if (path[0] != '/' || path[1] == '\0' || strlen (path) >= PATH_MAX - 64)
    return false;
  if (path[strspn (path, allowed)] != '\0')
    return false;
  for (dots = strstr (path, "/.."); dots; dots = strstr (dots + 1, "/.."))
    if (dots[3] == '/' || dots[3] == '\0')
      return false;
  return true;
}

typedef bool (*ReadValue) (LodgePlan *plan, const char **field, const char *value);

static bool
read_version (LodgePlan *plan, const char **field, const char *value)
{
  return strcmp (value, "1") == 0;
}

static bool
read_uuid (LodgePlan *plan, const char **field, const char *value)
{
  *field = value;
  return lodge_plan_uuid_is_valid (value);
}

static bool
read_name (LodgePlan *plan, const char **field, const char *value)
{
  *field = value;
  return *value != '\0' && strlen (value) < 256;
}

static bool
read_path (LodgePlan *plan, const char **field, const char *value)
{
  *field = value;
  return path_is_plain (value);
}

static bool
read_lower (LodgePlan *plan, const char **field, const char *value)
{
  if (plan->n_lower == LODGE_PLAN_LAYERS)
    return false;
  plan->lower[plan->n_lower++] = value;
  return path_is_plain (value);
}

static bool
read_idmap (LodgePlan *plan, const char **field, const char *value)
{
  char buffer[64];
  char *space;
  long long base;
  long long count;

  if (strlen (value) >= sizeof buffer)
    return false;
  strcpy (buffer, value);
  space = strchr (buffer, ' ');
  if (!space)
    return false;
  *space = '\0';
  /* Host id 0 in the map would make the container's root the host's. */
  if (!lodge_io_parse_number (buffer, 1, ID_MAX, &base)
      || !lodge_io_parse_number (space + 1, 1, ID_MAX - base, &count))
    return false;
  plan->base = (uid_t) base;
  plan->count = (unsigned) count;
  return true;
}

static bool
read_pids_max (LodgePlan *plan, const char **field, const char *value)
{
  long long number;

  *field = value;
  return strcmp (value, "max") == 0 || lodge_io_parse_number (value, 1, INT_MAX, &number);
}

enum
{
  REQUIRED = 1 << 0,
  REPEATED = 1 << 1,
  NO_FIELD = 0xffff,
};

static const struct
{
  const char *key;
  ReadValue read;
  size_t field; /* offset of the pointer in LodgePlan */
  int flags;
} keys[] = {
  { "version", read_version, NO_FIELD, REQUIRED },
  { "uuid", read_uuid, offsetof (LodgePlan, uuid), REQUIRED },
  { "name", read_name, offsetof (LodgePlan, name), REQUIRED },
  { "idmap", read_idmap, NO_FIELD, REQUIRED },
  { "lower", read_lower, NO_FIELD, REPEATED },
  { "upper", read_path, offsetof (LodgePlan, upper), 0 },
  { "work", read_path, offsetof (LodgePlan, work), 0 },
  { "source", read_path, offsetof (LodgePlan, source), 0 },
  { "root", read_path, offsetof (LodgePlan, root), REQUIRED },
  { "control", read_path, offsetof (LodgePlan, control), REQUIRED },
  { "runtime", read_path, offsetof (LodgePlan, runtime), REQUIRED },
  { "events", read_path, offsetof (LodgePlan, events), 0 },
  { "init", read_path, offsetof (LodgePlan, init), 0 },
  { "pids-max", read_pids_max, offsetof (LodgePlan, pids_max), 0 },
};

#define N_KEYS (sizeof keys / sizeof *keys)

static bool
add_setup (LodgePlan *plan, const char *key, const char *value, LodgeFail *fail)
{
  size_t used = strlen (plan->setup);
  int n = snprintf (plan->setup + used, sizeof plan->setup - used, "%s=%s\n", key, value);

  if (*key == '\0' || n < 0 || (size_t) n >= sizeof plan->setup - used)
    return lodge_fail (fail, "InvalidConfig", "The plan's setup values are malformed");
  return true;
}

static bool
read_line (LodgePlan *plan, char *line, uint32_t *seen, LodgeFail *fail)
{
  char *value = strchr (line, '=');

  if (!value)
    return lodge_fail (fail, "InvalidConfig", "The plan has a line without “=”");
  *value++ = '\0';
  if (strncmp (line, "setup.", 6) == 0)
    return add_setup (plan, line + 6, value, fail);

  for (size_t i = 0; i < N_KEYS; i++)
    {
      const char *ignored = NULL;
      const char **field = &ignored;

      if (strcmp (line, keys[i].key) != 0)
        continue;
      if ((*seen & (1u << i)) && !(keys[i].flags & REPEATED))
        return lodge_fail (fail, "InvalidConfig", "The plan has the key “%s” twice", line);
      *seen |= 1u << i;
      if (keys[i].field != NO_FIELD)
        field = (const char **) ((char *) plan + keys[i].field);
      if (!keys[i].read (plan, field, value))
        return lodge_fail (fail, "InvalidConfig", "The plan's value of “%s” is not valid", line);
      return true;
    }
  return lodge_fail (fail, "InvalidConfig", "The plan has an unknown key “%.64s”", line);
}

/* The directory of @path, without the slash: its length in @path. */
static size_t
dir_length (const char *path)
{
  const char *slash = strrchr (path, '/');

  return slash ? (size_t) (slash - path) : 0;
}

static bool
check_root (const LodgePlan *plan, LodgeFail *fail)
{
  size_t length;

  if (plan->source)
    {
      if (plan->n_lower == 0 && !plan->upper && !plan->work)
        return true;
      return lodge_fail (fail, "InvalidConfig", "The plan has both “source” and overlay layers");
    }
  if (plan->n_lower == 0 || !plan->upper || !plan->work)
    return lodge_fail (fail, "InvalidConfig", "The plan has no complete root");
  length = dir_length (plan->upper);
  if (length == 0 || length != dir_length (plan->work)
      || strncmp (plan->upper, plan->work, length) != 0 || strcmp (plan->upper, plan->work) == 0)
    return lodge_fail (fail, "InvalidConfig",
                       "The plan's “upper” and “work” are not in one directory");
  return true;
}

static bool
parse (LodgePlan *plan, LodgeFail *fail)
{
  char *state = NULL;
  uint32_t seen = 0;

  for (char *line = strtok_r (plan->text, "\n", &state); line; line = strtok_r (NULL, "\n", &state))
    if (!read_line (plan, line, &seen, fail))
      return false;
  for (size_t i = 0; i < N_KEYS; i++)
    if ((keys[i].flags & REQUIRED) && !(seen & (1u << i)))
      return lodge_fail (fail, "InvalidConfig", "The plan lacks “%s”", keys[i].key);
  return check_root (plan, fail);
}

bool
lodge_plan_read (LodgePlan *out_plan, const char *path, LodgeFail *fail)
{
  LODGE_AUTOFD fd = -1;
  struct stat st;
  size_t size = 0;
  ssize_t n;

  fd = lodge_io_open_regular (AT_FDCWD, path, sizeof out_plan->text - 1, &size);
  if (fd < 0)
    return lodge_fail_errno (fail, fd, "Cannot read the plan “%s”", path);
  if (fstat (fd, &st) < 0)
    return lodge_fail_errno (fail, errno, "Cannot read the plan “%s”", path);
  if (st.st_uid != 0 || (st.st_mode & 077) != 0)
    return lodge_fail (fail, "InvalidConfig", "The plan “%s” must be a file of root, mode 0600",
                       path);

  memset (out_plan, 0, offsetof (LodgePlan, setup) + 1);
  n = lodge_io_read_fd (fd, out_plan->text, sizeof out_plan->text);
  if (n < 0)
    return lodge_fail_errno (fail, (int) n, "Cannot read the plan “%s”", path);
  if (memchr (out_plan->text, '\0', (size_t) n))
    return lodge_fail (fail, "InvalidConfig", "The plan “%s” is not a text", path);
  return parse (out_plan, fail);
}
