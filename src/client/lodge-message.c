/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-message.h"

#include <string.h>
#include <unistd.h>

#include "lodge-wire.h"
#include "lodge/lodge-error.h"

/* Codes of the header fields. */
enum
{
  FIELD_PATH = 1,
  FIELD_INTERFACE,
  FIELD_MEMBER,
  FIELD_ERROR_NAME,
  FIELD_REPLY_SERIAL,
  FIELD_DESTINATION,
  FIELD_SENDER,
  FIELD_SIGNATURE,
  FIELD_UNIX_FDS,
  N_FIELDS
};

void
lodge_message_free (LodgeMessage *message)
{
  if (message == NULL)
    return;
  for (guint i = 0; i < message->n_fds; i++)
    if (message->fds[i] >= 0)
      close (message->fds[i]);
  g_free (message->path);
  g_free (message->interface);
  g_free (message->member);
  g_free (message->error_name);
  g_free (message->destination);
  g_free (message->sender);
  g_clear_pointer (&message->body, g_variant_unref);
  g_free (message);
}

static void
put_field (LodgeWireWriter *writer, guint8 code, const char *signature, const char *text)
{
  if (text == NULL)
    return;
  lodge_wire_align (writer, 8);
  lodge_wire_put_byte (writer, code);
  lodge_wire_put_signature (writer, signature);
  if (signature[0] == 'g')
    lodge_wire_put_signature (writer, text);
  else
    lodge_wire_put_string (writer, text);
}

static void
put_uint_field (LodgeWireWriter *writer, guint8 code, guint32 value)
{
  if (value == 0)
    return;
  lodge_wire_align (writer, 8);
  lodge_wire_put_byte (writer, code);
  lodge_wire_put_signature (writer, "u");
  lodge_wire_put_uint32 (writer, value);
}

GByteArray *
lodge_message_encode (const LodgeMessage *message)
{
  g_autoptr (GByteArray) bytes = g_byte_array_sized_new (512);
  LodgeWireWriter writer = { .bytes = bytes };
  const char *type = message->body != NULL ? g_variant_get_type_string (message->body) : "()";
  g_autofree char *signature = g_strndup (type + 1, strlen (type) - 2);
  const guint8 start[4] = { 'l', (guint8) message->type, (guint8) message->flags, 1 };

  g_byte_array_append (bytes, start, sizeof start);
  lodge_wire_put_uint32 (&writer, 0);
  lodge_wire_put_uint32 (&writer, message->serial);
  gsize fields = lodge_wire_begin_array (&writer, 8);
  put_field (&writer, FIELD_PATH, "o", message->path);
  put_field (&writer, FIELD_INTERFACE, "s", message->interface);
  put_field (&writer, FIELD_MEMBER, "s", message->member);
  put_field (&writer, FIELD_ERROR_NAME, "s", message->error_name);
  put_field (&writer, FIELD_DESTINATION, "s", message->destination);
  put_field (&writer, FIELD_SENDER, "s", message->sender);
  put_uint_field (&writer, FIELD_REPLY_SERIAL, message->reply_serial);
  put_field (&writer, FIELD_SIGNATURE, "g", signature[0] != '\0' ? signature : NULL);
  put_uint_field (&writer, FIELD_UNIX_FDS, message->n_fds);
  lodge_wire_end_array (&writer, fields, 8);
  lodge_wire_align (&writer, 8);

  gsize body_start = bytes->len;
  if (message->body != NULL)
    for (gsize i = 0; i < g_variant_n_children (message->body); i++)
      {
        g_autoptr (GVariant) child = g_variant_get_child_value (message->body, i);
        lodge_wire_put_value (&writer, child);
      }
  guint32 body_size = GUINT32_TO_LE ((guint32) (bytes->len - body_start));
  memcpy (bytes->data + 4, &body_size, sizeof body_size);
  return g_steal_pointer (&bytes);
}

static gboolean
broken (GError **error, const char *what)
{
  g_set_error (error, LODGE_ERROR, LODGE_ERROR_FAILED, "The bus sent a broken message: %s.", what);
  return FALSE;
}

static guint32
read_uint32 (const guint8 *data, gboolean swap)
{
  guint32 value;

  memcpy (&value, data, sizeof value);
  return swap ? GUINT32_SWAP_LE_BE (value) : value;
}

static gboolean
must_swap (const guint8 *prefix)
{
  return (prefix[0] == 'l') != (G_BYTE_ORDER == G_LITTLE_ENDIAN);
}

gsize
lodge_message_size (const guint8 *prefix, GError **error)
{
  gboolean swap = must_swap (prefix);
  guint64 body, fields, total;

  if ((prefix[0] != 'l' && prefix[0] != 'B') || prefix[3] != 1)
    {
      broken (error, "it is no D-Bus message");
      return 0;
    }
  body = read_uint32 (prefix + 4, swap);
  fields = read_uint32 (prefix + 12, swap);
  total = ((LODGE_MESSAGE_PREFIX_SIZE + fields + 7) & ~(guint64) 7) + body;
  if (total > LODGE_MESSAGE_MAX_SIZE)
    {
      broken (error, "it is too large");
      return 0;
    }
  return (gsize) total;
}

/* Stores one header field; a field of a wrong type is an error, an unknown one is skipped. */
static gboolean
store_field (LodgeMessage *message, guint8 code, GVariant *value, char **out_signature)
{
  char **texts[N_FIELDS] = {
    [FIELD_PATH] = &message->path,
    [FIELD_INTERFACE] = &message->interface,
    [FIELD_MEMBER] = &message->member,
    [FIELD_ERROR_NAME] = &message->error_name,
    [FIELD_DESTINATION] = &message->destination,
    [FIELD_SENDER] = &message->sender,
    [FIELD_SIGNATURE] = out_signature,
  };
  static const char types[N_FIELDS + 1] = "?osssussgu";

  if (code >= N_FIELDS || code == 0)
    return TRUE;
  if (g_variant_get_type_string (value)[0] != types[code])
    return FALSE;
  if (code == FIELD_REPLY_SERIAL)
    message->reply_serial = g_variant_get_uint32 (value);
  else if (code == FIELD_UNIX_FDS)
    message->n_declared_fds = g_variant_get_uint32 (value);
  else if (*texts[code] == NULL)
    *texts[code] = g_variant_dup_string (value, NULL);
  return TRUE;
}

static gboolean
decode_fields (LodgeMessage *message, LodgeWireReader *reader, char **out_signature)
{
  g_autoptr (GVariant) fields = lodge_wire_get_value (reader, "a(yv)");

  for (gsize i = 0; fields != NULL && i < g_variant_n_children (fields); i++)
    {
      g_autoptr (GVariant) value = NULL;
      guint8 code;

      g_variant_get_child (fields, i, "(yv)", &code, &value);
      if (!store_field (message, code, value, out_signature))
        return FALSE;
    }
  return fields != NULL;
}

static gboolean
has_required_fields (const LodgeMessage *message)
{
  switch (message->type)
    {
    case LODGE_MESSAGE_CALL:
      return message->path != NULL && message->member != NULL;
    case LODGE_MESSAGE_SIGNAL:
      return message->path != NULL && message->member != NULL && message->interface != NULL;
    case LODGE_MESSAGE_ERROR:
      return message->error_name != NULL && message->reply_serial != 0;
    case LODGE_MESSAGE_RETURN:
      return message->reply_serial != 0;
    default:
      return FALSE;
    }
}

LodgeMessage *
lodge_message_decode (const guint8 *data, gsize size, GError **error)
{
  g_autoptr (LodgeMessage) message = g_new0 (LodgeMessage, 1);
  g_autofree char *signature = NULL;
  g_autofree char *tuple = NULL;

  if (size < LODGE_MESSAGE_PREFIX_SIZE || lodge_message_size (data, error) != size)
    {
      if (error == NULL || *error == NULL)
        broken (error, "its size is wrong");
      return NULL;
    }
  LodgeWireReader reader = { .data = data, .size = size, .offset = 12, .swap = must_swap (data) };
  message->type = data[1];
  message->flags = data[2];
  message->serial = read_uint32 (data + 8, reader.swap);
  if (!decode_fields (message, &reader, &signature))
    {
      broken (error, "its header cannot be read");
      return NULL;
    }
  lodge_wire_skip_padding (&reader, 8);
  tuple = g_strconcat ("(", signature != NULL ? signature : "", ")", NULL);
  message->body = lodge_wire_get_body (&reader, tuple);
  if (message->body == NULL || reader.offset != size || !has_required_fields (message))
    {
      broken (error, "its contents cannot be read");
      return NULL;
    }
  return g_steal_pointer (&message);
}

int
lodge_message_take_fd (LodgeMessage *message, gint32 index, GError **error)
{
  if (index < 0 || (guint) index >= message->n_fds || message->fds[index] < 0)
    {
      g_set_error_literal (error, LODGE_ERROR, LODGE_ERROR_FAILED,
                           "The service did not pass the file that it announced.");
      return -1;
    }
  int fd = message->fds[index];
  message->fds[index] = -1;
  return fd;
}
