/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge/lodge-driver.h"

G_BEGIN_DECLS

/*
 * One instance as core knows it: what Lodge recorded, and what libvirt says.  Main thread only.
 *
 * Signal `changed` (guint fields: a mask of LodgeInstanceField): emitted once a turn of the main
 * loop however many fields changed.
 */
#define LODGE_TYPE_INSTANCE (lodge_instance_get_type ())
G_DECLARE_FINAL_TYPE (LodgeInstance, lodge_instance, LODGE, INSTANCE, GObject)

typedef enum
{
  LODGE_INSTANCE_FIELD_NAME = 1 << 0,
  LODGE_INSTANCE_FIELD_STATE = 1 << 1,
  LODGE_INSTANCE_FIELD_BOOTED = 1 << 2,
  LODGE_INSTANCE_FIELD_ADDRESSES = 1 << 3,
  LODGE_INSTANCE_FIELD_JOB = 1 << 4,
  LODGE_INSTANCE_FIELD_CONFIG = 1 << 5,
  LODGE_INSTANCE_FIELD_DRIFT = 1 << 6,
  LODGE_INSTANCE_FIELD_STARTED_AT = 1 << 7,
} LodgeInstanceField;

/* Borrowed values. */
const char *lodge_instance_get_uuid (LodgeInstance *self);
const char *lodge_instance_get_name (LodgeInstance *self);
LodgeKind lodge_instance_get_kind (LodgeInstance *self);
LodgeOrigin lodge_instance_get_origin (LodgeInstance *self);
const char *lodge_instance_get_uri (LodgeInstance *self);
/** What is shown: what libvirt says, or what a job is bringing about. */
LodgeState lodge_instance_get_state (LodgeInstance *self);
/** What libvirt says, whatever a job may be bringing about. */
LodgeState lodge_instance_get_observed (LodgeInstance *self);
gboolean lodge_instance_get_booted (LodgeInstance *self);
LodgeCaps lodge_instance_get_caps (LodgeInstance *self);
/** Alias that it was made from, or the fingerprint when there was none; "" when not known. */
const char *lodge_instance_get_image (LodgeInstance *self);
const char *lodge_instance_get_image_fingerprint (LodgeInstance *self); /* nullable */
/** Fingerprint of the install medium that it has, or "". */
const char *lodge_instance_get_medium (LodgeInstance *self);
GHashTable *lodge_instance_get_config (LodgeInstance *self);            /* own, not effective */
GPtrArray *lodge_instance_get_addresses (LodgeInstance *self);          /* LodgeAddress */
const char *const *lodge_instance_get_drift (LodgeInstance *self);
gint64 lodge_instance_get_created_at (LodgeInstance *self);
gint64 lodge_instance_get_started_at (LodgeInstance *self);
/** Bytes and CPUs as libvirt has them; 0: no limit or not known. */
guint64 lodge_instance_get_memory_limit (LodgeInstance *self);
guint lodge_instance_get_vcpus (LodgeInstance *self);
/** Id of the job that holds it, or 0. */
gint64 lodge_instance_get_job_id (LodgeInstance *self);

G_END_DECLS
