/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the agent of a guest answers: JSON that lodged itself reads. */
#include "fuzz.h"

#include "lodge-kvm-reply.h"

static void
take_object (JsonObject *object)
{
  g_auto (LodgeKvmExit) end = { 0 };
  g_autoptr (GBytes) block = lodge_kvm_reply_get_bytes (object, "buf-b64");

  if (block != NULL)
    g_assert_cmpuint (g_bytes_get_size (block), <, 8 << 20);
  lodge_kvm_reply_read_exit (object, &end);
  g_assert_true (end.exit_status >= 0 && end.exit_status <= 255 && end.term_signal >= 0);
}

int
LLVMFuzzerTestOneInput (const guint8 *data, gsize size)
{
  g_autofree char *text = g_strndup ((const char *) data, size);
  g_autoptr (JsonNode) reply = NULL;
  g_autoptr (GError) error = NULL;

  if (!lodge_kvm_reply_parse (text, &reply, &error))
    {
      g_assert_nonnull (error);
      return 0;
    }
  if (JSON_NODE_HOLDS_OBJECT (reply))
    take_object (json_node_get_object (reply));
  return 0;
}
