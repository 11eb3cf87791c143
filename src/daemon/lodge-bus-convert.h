/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge-manager.h"

G_BEGIN_DECLS

/*
 * Core's objects as variants, and variants as core's values.  Every variant that is returned is
 * floating.  Main thread only.
 */

/** What is shown in the place of a value that is not everybody's business. */
#define LODGE_BUS_HIDDEN "(hidden)"

/** Messages of backends are in whatever encoding they like; the bus takes UTF-8 only.  NULL: "". */
GVariant *lodge_bus_string_to_variant (const char *text);
GVariant *lodge_bus_strv_to_variant (const char *const *texts);

/** a{ss}; without @trusted values that may be secrets (environment.*, cloud-init.*) are hidden. */
GVariant *lodge_bus_config_to_variant (GHashTable *config, gboolean trusted);

/** (transfer full): char* → char* of an a{ss}; INVALID_ARGUMENT for a key that comes twice. */
GHashTable *lodge_bus_config_from_variant (GVariant *variant, GError **error);

/** as: "pause", "exec", … */
GVariant *lodge_bus_caps_to_variant (LodgeCaps caps);

/** aa{sv} of LodgeAddress. */
GVariant *lodge_bus_addresses_to_variant (GPtrArray *addresses);

/** a{sv}: a row of ListInstances. */
GVariant *lodge_bus_instance_to_row (LodgeInstance *instance);

/** @row with what is known of memory, cpu-ns and processes. */
GVariant *lodge_bus_row_with_usage (GVariant *row, const LodgeUsage *usage);

/** Under this the bus keeps an instance's row with it; cleared when the instance changes. */
GQuark lodge_bus_row_quark (void);

/** a{sv}: the answer of GetUsage. */
GVariant *lodge_bus_usage_to_variant (const LodgeUsage *usage);

/** a{sv}: a row of ListJobs. */
GVariant *lodge_bus_job_to_row (LodgeJob *job);

/** a{sv}: what came of a job: instance, name, image, fingerprint. */
GVariant *lodge_bus_job_result (LodgeManager *manager, LodgeJob *job);

/** (ss): D-Bus name and message, both empty without an error. */
GVariant *lodge_bus_job_error (LodgeJob *job);

/** a{sv}: a row of ListImages. */
GVariant *lodge_bus_image_to_row (LodgeManager *manager, const LodgeImage *image);

/** as of the instances that are built on an image. */
GVariant *lodge_bus_image_users (LodgeManager *manager, const char *fingerprint);

/** a{ss} of a table of char* → char*. */
GVariant *lodge_bus_map_to_variant (GHashTable *map);

/** The option "kind", or a container.  INVALID_ARGUMENT for a word that is no kind. */
gboolean lodge_bus_kind_from_options (GVariant *options, LodgeKind *out_kind, GError **error);

G_END_DECLS
