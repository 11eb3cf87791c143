/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge/lodge-types.h"

G_BEGIN_DECLS

/*
 * Object paths and what they stand for.  A node is the last element of a path: "_UUID" with '-'
 * written '_', "_FINGERPRINT", or a number.  Any thread.
 */
#define LODGE_BUS_PATH_INSTANCES LODGE_OBJECT_PATH "/instance"
#define LODGE_BUS_PATH_IMAGES    LODGE_OBJECT_PATH "/image"
#define LODGE_BUS_PATH_JOBS      LODGE_OBJECT_PATH "/job"
#define LODGE_BUS_PATH_PROCESSES LODGE_OBJECT_PATH "/process"

/** (transfer full) */
char *lodge_bus_path_of_instance (const char *uuid);
char *lodge_bus_path_of_image (const char *fingerprint);
char *lodge_bus_path_of_job (gint64 id);
char *lodge_bus_path_of_process (guint64 id);

/** "_0d2c…": the node of an instance.  (transfer full) */
char *lodge_bus_node_of_uuid (const char *uuid);

/** (transfer full): the UUID that @node stands for, or NULL when it is not one of ours. */
char *lodge_bus_uuid_of_node (const char *node);

/** (transfer full): the name that @node stands for, or NULL when it is none: see the schema. */
char *lodge_bus_name_of_node (const char *node);

/** The fingerprint in @node, or NULL.  Borrowed from @node. */
const char *lodge_bus_fingerprint_of_node (const char *node);

/** The number that @node is, or 0: numbers begin with 1. */
guint64 lodge_bus_number_of_node (const char *node);

G_END_DECLS
