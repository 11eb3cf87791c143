/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge-domain-xml.h"
#include "lodge-xml-reader.h"
#include "lodge-xml-writer.h"

G_BEGIN_DECLS

/* What the writers of both kinds share; see lodge-domain-xml.h for the rules. */

/** Refuses a spec without a valid name, UUID or MAC. */
void lodge_domain_write_check (LodgeXmlWriter *writer, const LodgeDomainSpec *spec);

/** `<name>`, `<uuid>`, `<metadata>`: what every domain begins with. */
void lodge_domain_write_identity (LodgeXmlWriter *writer, const LodgeDomainSpec *spec);

/** Lodge's metadata element. */
void lodge_domain_write_metadata (LodgeXmlWriter *writer, const LodgeDomainSpec *spec);

/** The value of @key in the effective configuration, or NULL.  Borrowed. */
const char *lodge_domain_spec_lookup (const LodgeDomainSpec *spec, const char *key);

/** limits.memory in bytes; 0 when it is not set. */
guint64 lodge_domain_spec_memory (LodgeXmlWriter *writer, const LodgeDomainSpec *spec);

/** Lodge's metadata of the <domain> element @domain, or NULL. */
LodgeDomainMetadata *lodge_domain_metadata_from_node (xmlNode *domain);

G_END_DECLS
