/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-kvm-reply.h"


/* libvirt hands over at most half of this of one reply. */
#define REPLY_MAX  (8 * 1024 * 1024)
#define STATUS_MAX 255
#define SIGNAL_MAX 64

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
