/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the agent of a guest answers: JSON that lodged itself reads. */
#include "fuzz.h"

#include <string.h>

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
  g_autoptr (GPtrArray) list = g_ptr_array_new_with_free_func ((GDestroyNotify) lodge_address_free);
  g_autoptr (JsonNode) reply = NULL;
  g_autoptr (GError) error = NULL;

  if (!lodge_kvm_reply_parse (text, &reply, &error))
    {
      g_assert_nonnull (error);
      return 0;
    }
  if (JSON_NODE_HOLDS_OBJECT (reply))
    take_object (json_node_get_object (reply));
  lodge_kvm_reply_add_addresses (reply, list);
  g_assert_cmpuint (list->len, <=, 64);
  for (guint i = 0; i < list->len; i++)
    {
      const LodgeAddress *address = g_ptr_array_index (list, i);
      g_assert_cmpuint (strlen (address->device), <=, 64);
      g_assert_true (g_str_is_ascii (address->device));
      g_assert_true (g_hostname_is_ip_address (address->address)
                     || strchr (address->address, '%') != NULL);
    }
  return 0;
}
