/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-xml-reader.h"

#include <libxml/parser.h>
#include <string.h>

typedef xmlChar LodgeXmlChar;
static void
free_xml_char (LodgeXmlChar *text)
{
  if (text != NULL)
    xmlFree (text);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC (LodgeXmlChar, free_xml_char)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (xmlParserCtxt, xmlFreeParserCtxt)

/* What stopped the parser, for the message; kept in the context's _private. */
typedef struct
{
  gboolean has_doctype;
  gboolean is_too_deep;
} ParseState;

void
lodge_xml_doc_free (LodgeXmlDoc *doc)
{
  if (doc != NULL)
    xmlFreeDoc (doc);
}

static void
refuse_doctype (void *data, const xmlChar *name, const xmlChar *external_id,
                const xmlChar *system_id)
{
  xmlParserCtxt *context = data;
  ((ParseState *) context->_private)->has_doctype = TRUE;
  xmlStopParser (context);
}

static void
start_element (void *data, const xmlChar *name, const xmlChar *prefix, const xmlChar *uri,
               int n_namespaces, const xmlChar **namespaces, int n_attributes, int n_defaulted,
               const xmlChar **attributes)
{
  xmlParserCtxt *context = data;
  if (context->nodeNr >= LODGE_XML_MAX_DEPTH)
    {
      ((ParseState *) context->_private)->is_too_deep = TRUE;
      xmlStopParser (context);
      return;
    }
  xmlSAX2StartElementNs (data, name, prefix, uri, n_namespaces, namespaces, n_attributes,
                         n_defaulted, attributes);
}

static void
set_parse_error (const ParseState *state, GError **error)
{
  const char *reason = "it is not well-formed";
  if (state->has_doctype)
    reason = "it has a document type, which is refused";
  else if (state->is_too_deep)
    reason = "it is nested too deeply";
  g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
               "An XML document cannot be read: %s", reason);
}

LodgeXmlDoc *
lodge_xml_parse (const char *xml, const char *root, GError **error)
{
  size_t length = strnlen (xml, LODGE_XML_MAX_BYTES + 1);
  if (length > LODGE_XML_MAX_BYTES)
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
                   "An XML document is larger than %d MiB", LODGE_XML_MAX_BYTES >> 20);
      return NULL;
    }

  g_autoptr (xmlParserCtxt) context = xmlNewParserCtxt ();
  if (context == NULL)
    g_error ("out of memory for an XML parser");
  ParseState state = { 0 };
  context->_private = &state;
  context->sax->internalSubset = refuse_doctype;
  context->sax->startElementNs = start_element;

  g_autoptr (LodgeXmlDoc) doc
      = xmlCtxtReadMemory (context, xml, (int) length, NULL, "UTF-8",
                           XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING
                               | XML_PARSE_NOCDATA | XML_PARSE_COMPACT);
  if (doc == NULL || state.has_doctype || state.is_too_deep)
    {
      set_parse_error (&state, error);
      return NULL;
    }
  xmlNode *top = xmlDocGetRootElement (doc);
  if (top == NULL || strcmp ((const char *) top->name, root) != 0)
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
                   "An XML document is not a <%s>", root);
      return NULL;
    }
  return g_steal_pointer (&doc);
}

static gboolean
is_element (xmlNode *node, const char *uri, const char *name)
{
  if (node->type != XML_ELEMENT_NODE || strcmp ((const char *) node->name, name) != 0)
    return FALSE;
  const char *own = node->ns != NULL ? (const char *) node->ns->href : NULL;
  return g_strcmp0 (own, uri) == 0;
}

static xmlNode *
first_element (xmlNode *node, const char *uri, const char *name)
{
  while (node != NULL && !is_element (node, uri, name))
    node = node->next;
  return node;
}

xmlNode *
lodge_xml_child (xmlNode *node, const char *name)
{
  return node != NULL ? first_element (node->children, NULL, name) : NULL;
}

xmlNode *
lodge_xml_child_ns (xmlNode *node, const char *uri, const char *name)
{
  return node != NULL ? first_element (node->children, uri, name) : NULL;
}

xmlNode *
lodge_xml_next (xmlNode *node)
{
  return first_element (node->next, NULL, (const char *) node->name);
}

xmlNode *
lodge_xml_find (xmlNode *node, const char *path)
{
  g_auto (GStrv) names = g_strsplit (path, "/", -1);
  for (char **name = names; *name != NULL && node != NULL; name++)
    node = lodge_xml_child (node, *name);
  return node;
}

char *
lodge_xml_get_attr (xmlNode *node, const char *name)
{
  if (node == NULL)
    return NULL;
  g_autoptr (LodgeXmlChar) value = xmlGetNoNsProp (node, BAD_CAST name);
  return g_strdup ((const char *) value);
}

char *
lodge_xml_get_raw_text (xmlNode *node)
{
  if (node == NULL)
    return NULL;
  g_autoptr (LodgeXmlChar) text = xmlNodeGetContent (node);
  return g_strdup ((const char *) text);
}

char *
lodge_xml_get_text (xmlNode *node)
{
  char *text = lodge_xml_get_raw_text (node);
  return text != NULL ? g_strstrip (text) : NULL;
}

gboolean
lodge_xml_attr_is (xmlNode *node, const char *name, const char *value)
{
  g_autofree char *own = lodge_xml_get_attr (node, name);
  return own != NULL && strcmp (own, value) == 0;
}

guint64
lodge_xml_get_uint (xmlNode *node, guint64 fallback)
{
  g_autofree char *text = lodge_xml_get_text (node);
  guint64 value;
  if (text == NULL || !g_ascii_string_to_unsigned (text, 10, 0, G_MAXUINT64, &value, NULL))
    return fallback;
  return value;
}

/* libvirt's units of memory; it writes KiB, but a network or a person may have written others. */
static guint64
unit_factor (const char *unit)
{
  static const struct
  {
    const char *unit;
    guint64 factor;
  } units[] = {
    { "b", 1 },
    { "bytes", 1 },
    { "KB", 1000 },
    { "k", 1 << 10 },
    { "KiB", 1 << 10 },
    { "MB", 1000 * 1000 },
    { "M", 1 << 20 },
    { "MiB", 1 << 20 },
    { "GB", 1000 * 1000 * 1000 },
    { "G", 1 << 30 },
    { "GiB", 1 << 30 },
    { "TB", G_GUINT64_CONSTANT (1000000000000) },
    { "T", G_GUINT64_CONSTANT (1) << 40 },
    { "TiB", G_GUINT64_CONSTANT (1) << 40 },
  };
  for (guint i = 0; unit != NULL && i < G_N_ELEMENTS (units); i++)
    if (strcmp (unit, units[i].unit) == 0)
      return units[i].factor;
  return 1 << 10;
}

guint64
lodge_xml_get_size (xmlNode *node, guint64 fallback)
{
  guint64 value = lodge_xml_get_uint (node, G_MAXUINT64);
  if (value == G_MAXUINT64)
    return fallback;
  g_autofree char *unit = lodge_xml_get_attr (node, "unit");
  guint64 bytes;
  return g_uint64_checked_mul (&bytes, value, unit_factor (unit)) ? bytes : G_MAXUINT64;
}

static int
compare_attributes (gconstpointer a, gconstpointer b)
{
  const xmlAttr *const *left = a, *const *right = b;
  return strcmp ((const char *) (*left)->name, (const char *) (*right)->name);
}

static void
append_attributes (xmlNode *node, GString *out)
{
  g_autoptr (GPtrArray) attributes = g_ptr_array_new ();
  for (xmlAttr *attribute = node->properties; attribute != NULL; attribute = attribute->next)
    g_ptr_array_add (attributes, attribute);
  g_ptr_array_sort (attributes, compare_attributes);
  for (guint i = 0; i < attributes->len; i++)
    {
      xmlAttr *attribute = g_ptr_array_index (attributes, i);
      g_autoptr (LodgeXmlChar) value = xmlNodeGetContent ((xmlNode *) attribute);
      /* Lengths instead of quotes, so that no value can look like markup. */
      g_string_append_printf (out, " %s=%zu:%s", attribute->name, strlen ((const char *) value),
                              value);
    }
}

void
lodge_xml_canonical (xmlNode *node, const char *const *skip, GString *out)
{
  if (g_strv_contains (skip, (const char *) node->name))
    return;
  g_string_append_printf (out, "<%s", node->name);
  append_attributes (node, out);
  g_string_append_c (out, '>');
  for (xmlNode *child = node->children; child != NULL; child = child->next)
    if (child->type == XML_ELEMENT_NODE)
      lodge_xml_canonical (child, skip, out);
    else if (child->type == XML_TEXT_NODE && !xmlIsBlankNode (child))
      {
        g_autofree char *text = g_strstrip (g_strdup ((const char *) child->content));
        g_string_append_printf (out, "%zu:%s", strlen (text), text);
      }
  g_string_append (out, "/>");
}
