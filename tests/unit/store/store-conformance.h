/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge/lodge-store.h"

G_BEGIN_DECLS

/*
 * What every LodgeStore promises, tested through the interface alone: each backend adds these
 * tests to its program with a factory of its own.
 */
typedef struct
{
  /** An empty store.  @out_data: whatever close() wants back. */
  LodgeStore *(*open) (gpointer *out_data);
  /** Takes the store and @data. */
  void (*close) (LodgeStore *store, gpointer data);
} StoreFactory;

/** Adds the tests below @path, for example "/store/sqlite".  @factory must be static. */
void store_conformance_add (const char *path, const StoreFactory *factory);

G_END_DECLS
