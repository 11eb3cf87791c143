/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge-cli.h"

G_BEGIN_DECLS

/* Aligned columns without lines, as virsh prints them. */
typedef struct _LodgeTable LodgeTable;

LodgeTable *lodge_table_new (guint n_columns);
void lodge_table_free (LodgeTable *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (LodgeTable, lodge_table_free)

/** @state: colour the cells by what state they name. */
void lodge_table_set_column (LodgeTable *self, guint column, const char *title, gboolean right,
                             gboolean state);

/** Adds the next cell, row by row.  @text: (transfer full) (nullable): safe for a terminal. */
void lodge_table_take_cell (LodgeTable *self, char *text);

void lodge_table_print (LodgeTable *self, LodgeCli *cli, gboolean header);

/** The colour in which a state of an instance or of a job is shown. */
LodgeColor lodge_table_state_color (const char *state);

G_END_DECLS
