/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge/lodge-driver.h"

#include <signal.h>
#include <unistd.h>

typedef struct
{
  gboolean exited;
  int exit_status;
  int term_signal;
  int held_fd; /* owned; -1: none */
} LodgeProcessPrivate;

G_DEFINE_ABSTRACT_TYPE_WITH_PRIVATE (LodgeProcess, lodge_process, G_TYPE_OBJECT)

enum
{
  SIGNAL_EXITED,
  N_SIGNALS
};

static guint signals[N_SIGNALS];

gboolean
lodge_process_resize (LodgeProcess *self, guint rows, guint columns, GError **error)
{
  LodgeProcessClass *klass = LODGE_PROCESS_GET_CLASS (self);

  if (klass->resize == NULL)
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_NOT_SUPPORTED,
                   "this program's terminal cannot be resized");
      return FALSE;
    }
  if (rows == 0 || columns == 0 || rows > G_MAXUINT16 || columns > G_MAXUINT16)
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
                   "a terminal cannot have %u rows and %u columns", rows, columns);
      return FALSE;
    }
  return klass->resize (self, rows, columns, error);
}

gboolean
lodge_process_signal (LodgeProcess *self, int signum, GError **error)
{
  LodgeProcessPrivate *priv = lodge_process_get_instance_private (self);
  LodgeProcessClass *klass = LODGE_PROCESS_GET_CLASS (self);

  if (klass->signal == NULL)
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_NOT_SUPPORTED,
                   "this program cannot get signals");
      return FALSE;
    }
  if (signum < 1 || signum > SIGRTMAX)
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT, "there is no signal %d",
                   signum);
      return FALSE;
    }
  if (priv->exited)
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_STATE, "the program has ended");
      return FALSE;
    }
  return klass->signal (self, signum, error);
}

static void
release_fd (LodgeProcessPrivate *priv)
{
  if (priv->held_fd >= 0)
    close (priv->held_fd);
  priv->held_fd = -1;
}

void
lodge_process_set_exited (LodgeProcess *self, int exit_status, int term_signal)
{
  LodgeProcessPrivate *priv = lodge_process_get_instance_private (self);

  if (priv->exited)
    return;
  priv->exited = TRUE;
  priv->exit_status = exit_status;
  priv->term_signal = term_signal;
  g_signal_emit (self, signals[SIGNAL_EXITED], 0, exit_status, term_signal);
  release_fd (priv);
}

void
lodge_process_hold_fd (LodgeProcess *self, int fd)
{
  LodgeProcessPrivate *priv = lodge_process_get_instance_private (self);

  release_fd (priv);
  priv->held_fd = fd;
  if (priv->exited)
    release_fd (priv);
}

gboolean
lodge_process_get_exited (LodgeProcess *self, int *out_exit_status, int *out_term_signal)
{
  LodgeProcessPrivate *priv = lodge_process_get_instance_private (self);

  if (!priv->exited)
    return FALSE;
  if (out_exit_status != NULL)
    *out_exit_status = priv->exit_status;
  if (out_term_signal != NULL)
    *out_term_signal = priv->term_signal;
  return TRUE;
}

/* A subclass keeps what its signal() needs until finalize: this runs after its own dispose. */
static void
lodge_process_dispose (GObject *object)
{
  LodgeProcess *self = LODGE_PROCESS (object);
  LodgeProcessPrivate *priv = lodge_process_get_instance_private (self);
  LodgeProcessClass *klass = LODGE_PROCESS_GET_CLASS (self);

  if (!priv->exited && klass->signal != NULL)
    {
      g_autoptr (GError) error = NULL;
      if (!klass->signal (self, SIGHUP, &error))
        g_debug ("cannot hang up on a program: %s", error->message);
    }
  priv->exited = TRUE;
  release_fd (priv);
  G_OBJECT_CLASS (lodge_process_parent_class)->dispose (object);
}

static void
lodge_process_class_init (LodgeProcessClass *klass)
{
  G_OBJECT_CLASS (klass)->dispose = lodge_process_dispose;
  signals[SIGNAL_EXITED] = g_signal_new ("exited", G_TYPE_FROM_CLASS (klass), G_SIGNAL_RUN_LAST, 0,
                                         NULL, NULL, NULL, G_TYPE_NONE, 2, G_TYPE_INT, G_TYPE_INT);
}

static void
lodge_process_init (LodgeProcess *self)
{
  LodgeProcessPrivate *priv = lodge_process_get_instance_private (self);

  priv->held_fd = -1;
}

void
lodge_exec_result_free (LodgeExecResult *result)
{
  if (result == NULL)
    return;
  g_clear_object (&result->process);
  if (result->pty_fd >= 0)
    close (result->pty_fd);
  g_free (result);
}
