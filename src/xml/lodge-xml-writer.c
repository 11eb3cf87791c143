/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-xml-writer.h"

#include <libxml/xmlwriter.h>

struct _LodgeXmlWriter
{
  xmlBufferPtr buffer;
  xmlTextWriterPtr writer;
  GError *error;
};

LodgeXmlWriter *
lodge_xml_writer_new (void)
{
  LodgeXmlWriter *self = g_new0 (LodgeXmlWriter, 1);
  self->buffer = xmlBufferCreate ();
  self->writer = xmlNewTextWriterMemory (self->buffer, 0);
  if (self->buffer == NULL || self->writer == NULL)
    g_error ("out of memory for an XML document");
  xmlTextWriterSetIndent (self->writer, 1);
  xmlTextWriterSetIndentString (self->writer, BAD_CAST "  ");
  return self;
}

void
lodge_xml_writer_free (LodgeXmlWriter *self)
{
  if (self == NULL)
    return;
  xmlFreeTextWriter (self->writer);
  xmlBufferFree (self->buffer);
  g_clear_error (&self->error);
  g_free (self);
}

gboolean
lodge_xml_text_is_valid (const char *text)
{
  if (!g_utf8_validate (text, -1, NULL))
    return FALSE;
  for (const char *p = text; *p != '\0'; p = g_utf8_next_char (p))
    {
      gunichar c = g_utf8_get_char (p);
      if ((c < 0x20 && c != '\t' && c != '\n' && c != '\r') || c == 0xfffe || c == 0xffff)
        return FALSE;
    }
  return TRUE;
}

void
lodge_xml_fail (LodgeXmlWriter *self, LodgeErrorCode code, const char *format, ...)
{
  if (self->error != NULL)
    return;
  va_list args;
  va_start (args, format);
  self->error = g_error_new_valist (LODGE_ERROR, code, format, args);
  va_end (args);
}

/* Returns whether the document is still worth writing. */
static gboolean
check (LodgeXmlWriter *self, int result)
{
  if (result < 0)
    lodge_xml_fail (self, LODGE_ERROR_FAILED, "An XML document could not be written");
  return self->error == NULL;
}

static gboolean
check_text (LodgeXmlWriter *self, const char *where, const char *text)
{
  if (self->error == NULL && !lodge_xml_text_is_valid (text))
    lodge_xml_fail (self, LODGE_ERROR_INVALID_ARGUMENT,
                    "The value for “%s” has characters that XML cannot carry", where);
  return self->error == NULL;
}

void
lodge_xml_open (LodgeXmlWriter *self, const char *name)
{
  if (self->error == NULL)
    check (self, xmlTextWriterStartElement (self->writer, BAD_CAST name));
}

void
lodge_xml_close (LodgeXmlWriter *self)
{
  if (self->error == NULL)
    check (self, xmlTextWriterEndElement (self->writer));
}

void
lodge_xml_attr (LodgeXmlWriter *self, const char *name, const char *value)
{
  if (value != NULL && check_text (self, name, value))
    check (self, xmlTextWriterWriteAttribute (self->writer, BAD_CAST name, BAD_CAST value));
}

void
lodge_xml_attr_uint (LodgeXmlWriter *self, const char *name, guint64 value)
{
  g_autofree char *text = g_strdup_printf ("%" G_GUINT64_FORMAT, value);
  lodge_xml_attr (self, name, text);
}

void
lodge_xml_text (LodgeXmlWriter *self, const char *text)
{
  if (check_text (self, "text", text))
    check (self, xmlTextWriterWriteString (self->writer, BAD_CAST text));
}

void
lodge_xml_text_element (LodgeXmlWriter *self, const char *name, const char *text)
{
  if (text == NULL)
    return;
  lodge_xml_open (self, name);
  if (check_text (self, name, text))
    lodge_xml_text (self, text);
  lodge_xml_close (self);
}

void
lodge_xml_uint_element (LodgeXmlWriter *self, const char *name, const char *unit, guint64 value)
{
  g_autofree char *text = g_strdup_printf ("%" G_GUINT64_FORMAT, value);
  lodge_xml_open (self, name);
  lodge_xml_attr (self, "unit", unit);
  lodge_xml_text (self, text);
  lodge_xml_close (self);
}

void
lodge_xml_element (LodgeXmlWriter *self, const char *name, ...)
{
  va_list args;
  va_start (args, name);
  lodge_xml_open (self, name);
  for (const char *key = va_arg (args, const char *); key != NULL;
       key = va_arg (args, const char *))
    {
      const char *value = va_arg (args, const char *);
      if (value == NULL)
        break;
      lodge_xml_attr (self, key, value);
    }
  lodge_xml_close (self);
  va_end (args);
}

char *
lodge_xml_writer_finish (LodgeXmlWriter *self, GError **error)
{
  if (self->error == NULL)
    check (self, xmlTextWriterEndDocument (self->writer));
  if (self->error == NULL)
    check (self, xmlTextWriterFlush (self->writer));
  if (self->error != NULL)
    {
      g_propagate_error (error, g_steal_pointer (&self->error));
      return NULL;
    }
  return g_strdup ((const char *) xmlBufferContent (self->buffer));
}
