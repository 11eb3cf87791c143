/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge/lodge-error.h"

G_BEGIN_DECLS

/*
 * Writes one XML document into memory.  Private to src/xml.  Not thread-safe; one thread at a time.
 *
 * The first failure sticks: later calls do nothing and lodge_xml_writer_finish() reports it, so
 * that a document reads as a straight list of elements.
 */
typedef struct _LodgeXmlWriter LodgeXmlWriter;

LodgeXmlWriter *lodge_xml_writer_new (void);
void lodge_xml_writer_free (LodgeXmlWriter *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (LodgeXmlWriter, lodge_xml_writer_free)

/** Begins an element; @name is a literal of the program. */
void lodge_xml_open (LodgeXmlWriter *self, const char *name);
void lodge_xml_close (LodgeXmlWriter *self);

/** An attribute of the element that was opened last; a NULL @value: none is written. */
void lodge_xml_attr (LodgeXmlWriter *self, const char *name, const char *value);
void lodge_xml_attr_uint (LodgeXmlWriter *self, const char *name, guint64 value);

/** Text of the open element. */
void lodge_xml_text (LodgeXmlWriter *self, const char *text);

/** `<name>text</name>`; a NULL @text: nothing. */
void lodge_xml_text_element (LodgeXmlWriter *self, const char *name, const char *text);

/** `<name unit='…'>value</name>`; a NULL @unit: no attribute. */
void lodge_xml_uint_element (LodgeXmlWriter *self, const char *name, const char *unit,
                             guint64 value);

/**
 * lodge_xml_element:
 * @...: pairs of attribute name and value (char*), NULL-ended; a NULL value ends it too
 *
 * An element without children.
 */
void lodge_xml_element (LodgeXmlWriter *self, const char *name, ...) G_GNUC_NULL_TERMINATED;

/** Makes the document fail with @code and @message unless it has failed already. */
void lodge_xml_fail (LodgeXmlWriter *self, LodgeErrorCode code, const char *format, ...)
    G_GNUC_PRINTF (3, 4);

/** Returns: (transfer full): the document, without an XML declaration. */
char *lodge_xml_writer_finish (LodgeXmlWriter *self, GError **error);

/** Whether XML 1.0 can carry @text: UTF-8 without control characters but tab, LF and CR. */
gboolean lodge_xml_text_is_valid (const char *text);

G_END_DECLS
