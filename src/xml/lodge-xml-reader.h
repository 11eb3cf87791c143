/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <libxml/tree.h>

#include "lodge/lodge-error.h"

G_BEGIN_DECLS

/*
 * Reads XML that may be hostile into libxml2's tree.  Private to src/xml.  Any thread.
 *
 * A document type is refused at its first byte, so that there are no entities to expand and
 * nothing to load; size and depth are bounded.
 */
#define LODGE_XML_MAX_BYTES (4 * 1024 * 1024)
#define LODGE_XML_MAX_DEPTH 64

typedef xmlDoc LodgeXmlDoc;
void lodge_xml_doc_free (LodgeXmlDoc *doc);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (LodgeXmlDoc, lodge_xml_doc_free)

/** Returns: (transfer full): the document, whose root is a @root element. */
LodgeXmlDoc *lodge_xml_parse (const char *xml, const char *root, GError **error);

/** The first child element @name outside any namespace, or NULL; a NULL @node has none. */
xmlNode *lodge_xml_child (xmlNode *node, const char *name);

/** The next sibling with the name of @node, or NULL. */
xmlNode *lodge_xml_next (xmlNode *node);

/** The first child element @name of the namespace @uri. */
xmlNode *lodge_xml_child_ns (xmlNode *node, const char *uri, const char *name);

/** As lodge_xml_child() along a path such as "os/type". */
xmlNode *lodge_xml_find (xmlNode *node, const char *path);

/** (transfer full) (nullable): the attribute of @node; NULL when either is absent. */
char *lodge_xml_get_attr (xmlNode *node, const char *name);

/** (transfer full) (nullable): the text of @node without white space around it. */
char *lodge_xml_get_text (xmlNode *node);

/** (transfer full) (nullable): the text of @node as it is. */
char *lodge_xml_get_raw_text (xmlNode *node);

/** Whether the attribute of @node is @value. */
gboolean lodge_xml_attr_is (xmlNode *node, const char *name, const char *value);

/** The text as a number; @fallback when there is none or it is not one. */
guint64 lodge_xml_get_uint (xmlNode *node, guint64 fallback);

/** A size with libvirt's "unit" (KiB by default) in bytes; @fallback as above, capped. */
guint64 lodge_xml_get_size (xmlNode *node, guint64 fallback);

/** Sorted, compact text of @node and all below it but elements named @skip. */
void lodge_xml_canonical (xmlNode *node, const char *const *skip, GString *out);

G_END_DECLS
