/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gio/gio.h>

#include "lodge-bus-policy.h"
#include "lodge-bus.h"

G_BEGIN_DECLS

/*
 * An interface is a constant table: how to find an object by the last element of its path, how to
 * read its properties, what its methods do.
 */
typedef struct _LodgeBusCall LodgeBusCall;
typedef struct _LodgeBusInterface LodgeBusInterface;

typedef enum
{
  LODGE_PROPERTY_NONE = 0,
  LODGE_PROPERTY_SECRET = 1 << 0,      /* parts are shown to trusted callers only */
  LODGE_PROPERTY_INVALIDATES = 1 << 1, /* changes are announced without the value */
} LodgePropertyFlags;

typedef struct
{
  const char *name;
  /* @trusted: whether a secret may be shown.  Returns a floating variant. */
  GVariant *(*get) (LodgeBus *bus, gpointer object, gboolean trusted);
  guint fields; /* bits of core's `changed` that may change it; 0: constant, or not announced */
  LodgePropertyFlags flags;
} LodgeBusProperty;

typedef struct
{
  const char *name;
  void (*run) (LodgeBusCall *call); /* takes the call, and ends it now or later */
} LodgeBusMethod;

struct _LodgeBusInterface
{
  const GDBusInterfaceInfo *info;
  const LodgeBusProperty *properties; /* ended by a row without a name; nullable */
  const LodgeBusMethod *methods;      /* the same */

  /* Borrowed; NOT_FOUND, also for what is no node of this kind. */
  gpointer (*find) (LodgeBus *bus, const char *node, GError **error);
  /* Nodes, for introspection.  (transfer full) element-type utf8; NULL: none are shown. */
  GPtrArray *(*list) (LodgeBus *bus);
  /* What polkit and its rules are told about the object, a{ss}.  Nullable. */
  GVariant *(*details) (gpointer object);
  /* Whose it is.  Nullable. */
  guint32 (*owner) (gpointer object);
};

/** A call that is being worked on.  Main thread only. */
struct _LodgeBusCall
{
  LodgeBus *bus; /* a reference */
  const LodgeBusInterface *interface;
  const LodgeBusMethod *method; /* NULL: a call of org.freedesktop.DBus.Properties */
  const LodgeBusPolicy *policy;
  GDBusMethodInvocation *invocation;
  GVariant *parameters; /* borrowed from the invocation */
  char *node;
  gpointer object;   /* borrowed, and good only until run() returns */
  guint32 uid;       /* G_MAXUINT32 where nobody had to ask */
  GVariant *details; /* nullable: what was authorised */
  gboolean counted;  /* among those of its caller */
  GError *error;     /* nullable: what it fails with, as soon as it is known who has called */
};

/** Begins to work on what the bus brought. */
void lodge_bus_call_begin (LodgeBus *bus, const LodgeBusInterface *interface, const char *node,
                           const char *interface_name, const char *method_name,
                           GDBusMethodInvocation *invocation);

/* Each ends the call; it is freed. */
/** @result: a tuple (floating), or NULL */
void lodge_bus_call_return (LodgeBusCall *call, GVariant *result);
/** @fds: (transfer full): close-on-exec; all are closed here once they are sent */
void lodge_bus_call_return_fds (LodgeBusCall *call, GVariant *result, const int *fds, gsize n_fds);
/** @error: (transfer full): of any domain */
void lodge_bus_call_fail (LodgeBusCall *call, GError *error);
/** The caller has gone: nobody waits. */
void lodge_bus_call_drop (LodgeBusCall *call);

/** Borrowed. */
const char *lodge_bus_call_get_sender (LodgeBusCall *call);
/** Files that came with the call.  (nullable) borrowed */
GUnixFDList *lodge_bus_call_get_fds (LodgeBusCall *call);

/** All properties of an object.  a{sv}, floating. */
GVariant *lodge_bus_object_read (LodgeBus *bus, const LodgeBusInterface *interface, gpointer object,
                                 gboolean trusted);

/** Registers @interface at one path.  Returns the id; 0 on failure. */
guint lodge_bus_object_register (LodgeBus *bus, const LodgeBusInterface *interface,
                                 const char *path, GError **error);

/** Registers @interface for all children of @path. */
guint lodge_bus_object_register_subtree (LodgeBus *bus, const LodgeBusInterface *interface,
                                         const char *path, GError **error);

G_END_DECLS
