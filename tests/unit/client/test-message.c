/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The wire format, against GDBus, which has had years to be right. */
#include <gio/gio.h>
#include <string.h>

#include "lodge-message.h"
#include "lodge/lodge-error.h"

static const char *const bodies[] = {
  "()",
  "(true, byte 0x2a, int16 -3, uint16 65535, -7, uint32 8, int64 -9, uint64 10, 2.5)",
  "('text', objectpath '/org/lodge1', signature 'a{sv}', handle 3)",
  "(@a{sv} {}, @as [], @aa{sv} [], @at [], @a(yt) [])",
  "([{'name': <'web'>, 'size': <uint64 5>, 'list': <['a', 'bc', '']>}, {'n': <<int16 1>>}],)",
  "(byte 0x01, [uint64 1, 2], byte 0x02, ('x', (byte 0x03, uint64 4)), {uint16 7: 'seven'})",
  "('grüße 🦦', <@a{sa{sv}} {'eth0': {'rx': <uint64 1>}}>)",
};

static LodgeMessage *
call_with (GVariant *body)
{
  LodgeMessage *message = g_new0 (LodgeMessage, 1);

  message->type = LODGE_MESSAGE_CALL;
  message->flags = LODGE_MESSAGE_INTERACTIVE;
  message->serial = 77;
  message->path = g_strdup ("/org/lodge1");
  message->interface = g_strdup ("org.lodge1.Manager");
  message->member = g_strdup ("Method");
  message->destination = g_strdup ("org.lodge1");
  message->body = g_variant_take_ref (body);
  return message;
}

static void
test_encode (void)
{
  for (gsize i = 0; i < G_N_ELEMENTS (bodies); i++)
    {
      g_autoptr (GError) error = NULL;
      GVariant *body = g_variant_parse (NULL, bodies[i], NULL, NULL, &error);
      g_assert_no_error (error);
      g_autoptr (LodgeMessage) message = call_with (body);
      g_autoptr (GByteArray) bytes = lodge_message_encode (message);
      g_autoptr (GDBusMessage) theirs = g_dbus_message_new_from_blob (
          bytes->data, bytes->len, G_DBUS_CAPABILITY_FLAGS_UNIX_FD_PASSING, &error);

      g_assert_no_error (error);
      g_assert_cmpstr (g_dbus_message_get_member (theirs), ==, "Method");
      g_assert_cmpuint (g_dbus_message_get_serial (theirs), ==, 77);
      g_assert_true (g_dbus_message_get_flags (theirs)
                     & G_DBUS_MESSAGE_FLAGS_ALLOW_INTERACTIVE_AUTHORIZATION);
      GVariant *got = g_dbus_message_get_body (theirs);
      if (g_variant_n_children (message->body) > 0)
        g_assert_cmpvariant (got, message->body);
    }
}

static GByteArray *
blob_of (const char *text, GDBusMessageByteOrder order)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GDBusMessage) message = g_dbus_message_new ();
  GVariant *body = g_variant_parse (NULL, text, NULL, NULL, &error);
  gsize size;

  g_assert_no_error (error);
  g_dbus_message_set_message_type (message, G_DBUS_MESSAGE_TYPE_METHOD_RETURN);
  g_dbus_message_set_byte_order (message, order);
  g_dbus_message_set_serial (message, 5);
  g_dbus_message_set_reply_serial (message, 4);
  g_dbus_message_set_sender (message, ":1.2");
  g_dbus_message_set_body (message, body);
  g_variant_unref (body);
  guchar *blob = g_dbus_message_to_blob (message, &size, G_DBUS_CAPABILITY_FLAGS_NONE, &error);
  g_assert_no_error (error);
  return g_byte_array_new_take (blob, size);
}

static void
test_decode (void)
{
  static const GDBusMessageByteOrder orders[]
      = { G_DBUS_MESSAGE_BYTE_ORDER_LITTLE_ENDIAN, G_DBUS_MESSAGE_BYTE_ORDER_BIG_ENDIAN };

  for (gsize i = 0; i < G_N_ELEMENTS (bodies); i++)
    for (gsize o = 0; o < G_N_ELEMENTS (orders); o++)
      {
        g_autoptr (GError) error = NULL;
        g_autoptr (GByteArray) blob = blob_of (bodies[i], orders[o]);
        g_autoptr (GVariant) wanted = g_variant_parse (NULL, bodies[i], NULL, NULL, NULL);

        g_assert_cmpuint (lodge_message_size (blob->data, &error), ==, blob->len);
        g_autoptr (LodgeMessage) message = lodge_message_decode (blob->data, blob->len, &error);
        g_assert_no_error (error);
        g_assert_cmpuint (message->reply_serial, ==, 4);
        g_assert_cmpstr (message->sender, ==, ":1.2");
        g_assert_cmpvariant (message->body, wanted);
      }
}

/* Every byte of every message changed in several ways: no crash, no read outside of the block (run
 * it with a sanitizer), and never a value that GVariant would refuse. */
static void
test_broken (void)
{
  for (gsize i = 0; i < G_N_ELEMENTS (bodies); i++)
    {
      g_autoptr (GByteArray) blob = blob_of (bodies[i], G_DBUS_MESSAGE_BYTE_ORDER_LITTLE_ENDIAN);

      for (guint at = 0; at < blob->len; at++)
        for (guint change = 0; change < 6; change++)
          {
            static const guint8 values[] = { 0, 1, 0x7f, 0x80, 0xff };
            g_autofree guint8 *copy = g_memdup2 (blob->data, blob->len);
            copy[at] = change < 5 ? values[change] : (guint8) (copy[at] + 1);
            if (lodge_message_size (copy, NULL) != blob->len)
              continue;
            g_autoptr (LodgeMessage) message = lodge_message_decode (copy, blob->len, NULL);
            g_assert_true (message == NULL || g_variant_is_normal_form (message->body));
          }
      for (guint size = 0; size < blob->len; size++)
        {
          g_autofree guint8 *copy = g_memdup2 (blob->data, MAX (size, 1));
          g_assert_null (lodge_message_decode (copy, size, NULL));
        }
    }
}

static void
test_bombs (void)
{
  /* a(): elements of no size would never end.  'v' in 'v' in 'v' …: no endless recursion. */
  g_autoptr (GByteArray) blob = blob_of ("([('x',)],)", G_DBUS_MESSAGE_BYTE_ORDER_LITTLE_ENDIAN);
  guint8 *signature = memmem (blob->data, blob->len, "a(s)", 4);
  g_assert_nonnull (signature);
  memcpy (signature, "aa()", 4);
  g_assert_null (lodge_message_decode (blob->data, blob->len, NULL));

  GVariant *nested = g_variant_new_byte (1);
  for (guint i = 0; i < 100; i++)
    nested = g_variant_new_variant (nested);
  g_autoptr (LodgeMessage) deep = call_with (g_variant_new_tuple (&nested, 1));
  g_autoptr (GByteArray) bytes = lodge_message_encode (deep);
  g_assert_null (lodge_message_decode (bytes->data, bytes->len, NULL));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/client/message/encode", test_encode);
  g_test_add_func ("/client/message/decode", test_decode);
  g_test_add_func ("/client/message/broken", test_broken);
  g_test_add_func ("/client/message/bombs", test_bombs);
  return g_test_run ();
}
