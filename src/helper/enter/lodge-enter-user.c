/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-enter-user.h"

#include "lodge-io.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A guest may put anything into these files. */
#define FILE_MAX (1024 * 1024)
#define ID_MAX   0xfffffffeLL

/* Reads a file of the guest, or gives an empty text.  The caller frees. */
static char *
read_table (const char *path)
{
  size_t size = 0;
  LODGE_AUTOFD fd = lodge_io_open_regular (AT_FDCWD, path, FILE_MAX, &size);
  char *text = calloc (1, size + 2);

  if (text && fd >= 0)
    lodge_io_read_fd (fd, text, size + 1);
  return text;
}

/* Cuts the next line off @text; NULL at the end. */
static char *
next_line (char **text)
{
  char *line = *text;
  char *end;

  if (!line || !*line)
    return NULL;
  end = strchr (line, '\n');
  if (end)
    *end++ = '\0';
  *text = end;
  return line;
}

/* Splits a line at its colons into exactly @n fields; false when it has fewer. */
static bool
split_fields (char *line, char **fields, size_t n)
{
  for (size_t i = 0; i < n; i++)
    {
      char *colon = strchr (line, ':');

      fields[i] = line;
      if (i == n - 1)
        {
          if (colon)
            *colon = '\0';
          return true;
        }
      if (!colon)
        return false;
      *colon = '\0';
      line = colon + 1;
    }
  return true;
}

static bool
parse_id (const char *text, unsigned *out_id)
{
  long long value;

  if (!lodge_io_parse_number (text, 0, ID_MAX, &value))
    return false;
  *out_id = (unsigned) value;
  return true;
}

static void
copy_field (char *target, size_t size, const char *source)
{
  if (*source && strlen (source) < size)
    strcpy (target, source);
}

/* Finds the entry of @name, or of @uid when @name is a number, and fills @user from it. */
static bool
find_entry (char *passwd, const char *name, bool numeric, LodgeEnterUser *user)
{
  char *line;

  while ((line = next_line (&passwd)))
    {
      char *fields[7];
      unsigned uid;
      unsigned gid;

      if (!split_fields (line, fields, 7) || !parse_id (fields[2], &uid)
          || !parse_id (fields[3], &gid))
        continue;
      if (numeric ? uid != user->uid : strcmp (fields[0], name) != 0)
        continue;
      user->uid = uid;
      user->gid = gid;
      copy_field (user->name, sizeof user->name, fields[0]);
      copy_field (user->home, sizeof user->home, fields[5]);
      copy_field (user->shell, sizeof user->shell, fields[6]);
      return true;
    }
  return false;
}

static bool
has_member (char *members, const char *name)
{
  char *state = NULL;

  for (char *m = strtok_r (members, ",", &state); m; m = strtok_r (NULL, ",", &state))
    if (strcmp (m, name) == 0)
      return true;
  return false;
}

static void
add_group (LodgeEnterUser *user, gid_t gid)
{
  for (size_t i = 0; i < user->n_groups; i++)
    if (user->groups[i] == gid)
      return;
  if (user->n_groups < LODGE_ENTER_GROUPS)
    user->groups[user->n_groups++] = gid;
}

/* Adds the groups that have the user as a member, and sets the primary one if @wanted names it. */
static bool
read_groups (char *table, const char *wanted, LodgeEnterUser *user)
{
  bool found = !wanted || parse_id (wanted, &user->gid);
  char *line;

  while ((line = next_line (&table)))
    {
      char *fields[4];
      unsigned gid;

      if (!split_fields (line, fields, 4) || !parse_id (fields[2], &gid))
        continue;
      if (!found && strcmp (fields[0], wanted) == 0)
        {
          user->gid = gid;
          found = true;
        }
      if (has_member (fields[3], user->name))
        add_group (user, gid);
    }
  add_group (user, user->gid);
  return found;
}

bool
lodge_enter_pick_user (char *passwd, char *groups, const char *wanted, LodgeEnterUser *out_user,
                       LodgeFail *fail)
{
  LodgeEnterUser *user = out_user;
  char name[256];
  char *group;
  bool numeric;

  if (!wanted || !*wanted)
    wanted = "root";
  if (strlen (wanted) >= sizeof name)
    return lodge_fail (fail, "InvalidArgument", "The user's name is too long");
  strcpy (name, wanted);
  group = strchr (name, ':');
  if (group)
    *group++ = '\0';

  *user = (LodgeEnterUser){ .home = "/", .shell = "/bin/sh" };
  numeric = parse_id (name, &user->uid);
  if (strcmp (name, "root") == 0 || (numeric && user->uid == 0))
    strcpy (user->home, "/root");
  copy_field (user->name, sizeof user->name, name);
  if (!find_entry (passwd, name, numeric, user) && !numeric && strcmp (name, "root") != 0)
    return lodge_fail (fail, "NotFound", "The container has no user “%s”", name);
  if (!read_groups (groups, group && *group ? group : NULL, user))
    return lodge_fail (fail, "NotFound", "The container has no group “%s”", group);
  return true;
}

bool
lodge_enter_find_user (const char *wanted, LodgeEnterUser *out_user, LodgeFail *fail)
{
  char *passwd = read_table ("/etc/passwd");
  char *groups = read_table ("/etc/group");
  bool found = passwd && groups
                   ? lodge_enter_pick_user (passwd, groups, wanted, out_user, fail)
                   : lodge_fail (fail, "HelperFailed", "There is no memory to read /etc/passwd");

  free (passwd);
  free (groups);
  return found;
}
