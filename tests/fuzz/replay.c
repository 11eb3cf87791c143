/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Feeds a fuzz target with each file of the folder that is its argument; with each of its
 * beginnings and with single bytes changed, too: a little of what a fuzzer does, with any compiler.
 */
#include "fuzz.h"

#include <stdio.h>

#define CHANGES 400

static void
feed (const char *path)
{
  g_autofree char *data = NULL;
  g_autoptr (GRand) dice = g_rand_new_with_seed (1);
  gsize size;

  if (!g_file_get_contents (path, &data, &size, NULL))
    g_error ("%s cannot be read", path);
  LLVMFuzzerTestOneInput ((const guint8 *) data, size);
  for (guint i = 0; i < CHANGES && size > 0; i++)
    {
      g_autofree guint8 *copy = g_memdup2 (data, size);
      gsize length = i % 2 == 0 ? size : (gsize) g_rand_int_range (dice, 0, (gint32) size);

      if (length > 0)
        copy[g_rand_int_range (dice, 0, (gint32) length)]
            = (guint8) g_rand_int_range (dice, 0, 256);
      LLVMFuzzerTestOneInput (copy, length);
    }
}

int
main (int argc, char **argv)
{
  g_autoptr (GDir) dir = argc == 2 ? g_dir_open (argv[1], 0, NULL) : NULL;
  const char *name;
  guint n = 0;

  if (dir == NULL)
    g_error ("no folder");
  while ((name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *path = g_build_filename (argv[1], name, NULL);
      feed (path);
      printf ("ok %u - %s\n", ++n, name);
    }
  printf ("1..%u\n", n);
  return n > 0 ? 0 : 1;
}
