/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* D-Bus messages, as the command line tool reads them. */
#include "fuzz.h"

#include "lodge-message.h"

int
LLVMFuzzerTestOneInput (const guint8 *data, gsize size)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (LodgeMessage) message = NULL;

  if (size < LODGE_MESSAGE_PREFIX_SIZE)
    return 0;
  gsize wanted = lodge_message_size (data, &error);
  if (wanted == 0)
    {
      g_assert_nonnull (error);
      return 0;
    }
  g_assert_cmpuint (wanted, <=, LODGE_MESSAGE_MAX_SIZE);
  if (wanted > size)
    return 0;
  message = lodge_message_decode (data, wanted, &error);
  g_assert_true ((message != NULL) == (error == NULL));
  if (message == NULL)
    return 0;
  g_autofree char *text = g_variant_print (message->body, TRUE);
  g_assert_nonnull (text);
  return 0;
}
