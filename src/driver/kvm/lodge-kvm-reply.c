/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-kvm-reply.h"

#include <string.h>

/* libvirt hands over at most half of this of one reply. */
#define REPLY_MAX       (8 * 1024 * 1024)
#define ADDRESSES_MAX   64
#define DEVICE_NAME_MAX 64 /* Windows has long ones */
#define STATUS_MAX      255
#define SIGNAL_MAX      64

gboolean
lodge_kvm_reply_parse (const char *reply, JsonNode **out_return, GError **error)
{
  g_autoptr (JsonObject) object = lodge_json_parse_object (reply, -1, REPLY_MAX, error);

  if (object == NULL)
    return FALSE;
  if (!json_object_has_member (object, "return"))
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_BACKEND, "the guest agent answers nonsense");
      return FALSE;
    }
  if (out_return != NULL)
    *out_return = json_object_dup_member (object, "return");
  return TRUE;
}

GBytes *
lodge_kvm_reply_get_bytes (JsonObject *object, const char *member)
{
  const char *text = lodge_json_get_string (object, member, NULL);
  gsize size = 0;

  if (text == NULL)
    return NULL;
  guchar *data = g_base64_decode (text, &size);
  return g_bytes_new_take (data, size);
}

void
lodge_kvm_exit_clear (LodgeKvmExit *end)
{
  g_clear_pointer (&end->out, g_bytes_unref);
  g_clear_pointer (&end->err, g_bytes_unref);
}

void
lodge_kvm_reply_read_exit (JsonObject *reply, LodgeKvmExit *out_end)
{
  gint64 status = lodge_json_get_int (reply, "exitcode", 0);
  gint64 signum = lodge_json_get_int (reply, "signal", 0);

  out_end->exited = lodge_json_get_bool (reply, "exited", FALSE);
  out_end->exit_status = status >= 0 && status <= STATUS_MAX ? (int) status : STATUS_MAX;
  out_end->term_signal = (int) CLAMP (signum, 0, SIGNAL_MAX);
  out_end->out = lodge_kvm_reply_get_bytes (reply, "out-data");
  out_end->err = lodge_kvm_reply_get_bytes (reply, "err-data");
}

/* ---- addresses ---- */

static void
add_address (GPtrArray *list, const char *device, JsonObject *entry)
{
  const char *text = lodge_json_get_string (entry, "ip-address", "");
  gint64 prefix = lodge_json_get_int (entry, "prefix", 0);
  g_autoptr (GInetAddress) address = g_inet_address_new_from_string (text);

  if (address == NULL || g_inet_address_get_is_loopback (address) || prefix < 0 || prefix > 128
      || list->len >= ADDRESSES_MAX)
    return;
  g_autofree char *clean = g_inet_address_to_string (address);
  for (guint i = 0; i < list->len; i++)
    {
      LodgeAddress *known = list->pdata[i];
      if (strcmp (known->address, clean) != 0)
        continue;
      g_free (known->device);
      known->device = g_strdup (device);
      return;
    }
  g_ptr_array_add (list, lodge_address_new (device, clean, (guint) prefix, "guest"));
}

static void
add_interface (GPtrArray *list, JsonObject *interface)
{
  const char *name = lodge_json_get_string (interface, "name", "");
  JsonArray *addresses = lodge_json_get_array (interface, "ip-addresses");
  g_autofree char *ascii = g_str_to_ascii (name, "C");
  g_autofree char *device = g_strndup (ascii, DEVICE_NAME_MAX);

  g_strcanon (device, G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "_-.@", '_');
  for (guint i = 0; addresses != NULL && i < json_array_get_length (addresses); i++)
    {
      JsonNode *node = json_array_get_element (addresses, i);
      if (JSON_NODE_HOLDS_OBJECT (node))
        add_address (list, device, json_node_get_object (node));
    }
}

void
lodge_kvm_reply_add_addresses (JsonNode *reply, GPtrArray *list)
{
  JsonArray *interfaces = JSON_NODE_HOLDS_ARRAY (reply) ? json_node_get_array (reply) : NULL;

  for (guint i = 0; interfaces != NULL && i < json_array_get_length (interfaces); i++)
    {
      JsonNode *node = json_array_get_element (interfaces, i);
      if (JSON_NODE_HOLDS_OBJECT (node))
        add_interface (list, json_node_get_object (node));
    }
}
