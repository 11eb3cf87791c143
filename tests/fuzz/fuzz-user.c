/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* /etc/passwd and /etc/group of a container: the input is both, with a line of "%" between. */
#include "fuzz.h"

#include <string.h>

#include "lodge-enter-user.h"

int
LLVMFuzzerTestOneInput (const guint8 *data, gsize size)
{
  static const char *const WANTED[]
      = { "root", "user", "1000", "user:users", "7:8", ":", "4294967295" };

  for (gsize i = 0; i < G_N_ELEMENTS (WANTED); i++)
    {
      g_autofree char *passwd = g_strndup ((const char *) data, size);
      char *middle = strstr (passwd, "\n%\n");
      g_autofree char *groups = g_strdup (middle != NULL ? middle + 3 : "");
      LodgeEnterUser user;
      LodgeFail fail = { 0 };

      if (middle != NULL)
        middle[1] = '\0';
      if (!lodge_enter_pick_user (passwd, groups, WANTED[i], &user, &fail))
        {
          g_assert_nonnull (fail.nick);
          continue;
        }
      g_assert_cmpuint (user.n_groups, >, 0);
      g_assert_cmpuint (user.n_groups, <=, LODGE_ENTER_GROUPS);
      g_assert_true (*user.home != '\0' && *user.shell != '\0');
      g_assert_true (user.uid != G_MAXUINT32 && user.gid != G_MAXUINT32);
    }
  return 0;
}
