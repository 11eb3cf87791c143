/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-virt-error.h"

#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>
#include <errno.h>
#include <string.h>

static const struct
{
  int code;
  LodgeErrorCode error;
} error_map[] = {
  { VIR_ERR_NO_DOMAIN, LODGE_ERROR_NOT_FOUND },
  { VIR_ERR_NO_NETWORK, LODGE_ERROR_NOT_FOUND },
  { VIR_ERR_NO_STORAGE_POOL, LODGE_ERROR_NOT_FOUND },
  { VIR_ERR_NO_STORAGE_VOL, LODGE_ERROR_NOT_FOUND },
  { VIR_ERR_NO_DOMAIN_SNAPSHOT, LODGE_ERROR_NOT_FOUND },
  { VIR_ERR_NO_DOMAIN_METADATA, LODGE_ERROR_NOT_FOUND },
  { VIR_ERR_DOM_EXIST, LODGE_ERROR_ALREADY_EXISTS },
  { VIR_ERR_NETWORK_EXIST, LODGE_ERROR_ALREADY_EXISTS },
  { VIR_ERR_STORAGE_VOL_EXIST, LODGE_ERROR_ALREADY_EXISTS },
  { VIR_ERR_OPERATION_INVALID, LODGE_ERROR_INVALID_STATE },
  { VIR_ERR_RESOURCE_BUSY, LODGE_ERROR_BUSY },
  { VIR_ERR_NO_SUPPORT, LODGE_ERROR_NOT_SUPPORTED },
  { VIR_ERR_OPERATION_UNSUPPORTED, LODGE_ERROR_NOT_SUPPORTED },
  { VIR_ERR_CONFIG_UNSUPPORTED, LODGE_ERROR_NOT_SUPPORTED },
  { VIR_ERR_ARGUMENT_UNSUPPORTED, LODGE_ERROR_NOT_SUPPORTED },
  { VIR_ERR_OPERATION_DENIED, LODGE_ERROR_NOT_AUTHORIZED },
  { VIR_ERR_ACCESS_DENIED, LODGE_ERROR_NOT_AUTHORIZED },
  { VIR_ERR_AUTH_FAILED, LODGE_ERROR_NOT_AUTHORIZED },
  { VIR_ERR_AUTH_CANCELLED, LODGE_ERROR_NOT_AUTHORIZED },
  { VIR_ERR_AUTH_UNAVAILABLE, LODGE_ERROR_NOT_AUTHORIZED },
  { VIR_ERR_OPERATION_ABORTED, LODGE_ERROR_CANCELLED },
  { VIR_ERR_OPERATION_TIMEOUT, LODGE_ERROR_TIMED_OUT },
  { VIR_ERR_NO_CONNECT, LODGE_ERROR_BACKEND_UNAVAILABLE },
  { VIR_ERR_INVALID_CONN, LODGE_ERROR_BACKEND_UNAVAILABLE },
  { VIR_ERR_AGENT_UNRESPONSIVE, LODGE_ERROR_AGENT_UNAVAILABLE },
  { VIR_ERR_AGENT_UNSYNCED, LODGE_ERROR_AGENT_UNAVAILABLE },
  { VIR_ERR_XML_ERROR, LODGE_ERROR_INVALID_ARGUMENT },
  { VIR_ERR_XML_DETAIL, LODGE_ERROR_INVALID_ARGUMENT },
  { VIR_ERR_XML_INVALID_SCHEMA, LODGE_ERROR_INVALID_ARGUMENT },
  { VIR_ERR_INVALID_DOMAIN, LODGE_ERROR_NOT_FOUND },
};

static void
ignore_error (void *user_data, virErrorPtr error)
{
}

void
lodge_virt_error_init (void)
{
  virSetErrorFunc (NULL, ignore_error);
}

LodgeErrorCode
lodge_virt_error_map (int code)
{
  for (gsize i = 0; i < G_N_ELEMENTS (error_map); i++)
    if (error_map[i].code == code)
      return error_map[i].error;
  return LODGE_ERROR_BACKEND;
}

/* The remote driver reports a lost connection as an RPC or system error of its own. */
static gboolean
is_connection_loss (const virError *error)
{
  if (error->domain == VIR_FROM_RPC)
    return error->code == VIR_ERR_INTERNAL_ERROR || error->code == VIR_ERR_SYSTEM_ERROR
           || error->code == VIR_ERR_RPC;
  return error->code == VIR_ERR_INTERNAL_ERROR && error->message != NULL
         && strstr (error->message, "client socket is closed") != NULL;
}

static LodgeErrorCode
classify (const virError *error)
{
  if (is_connection_loss (error))
    return LODGE_ERROR_BACKEND_UNAVAILABLE;
  if (error->message != NULL && strstr (error->message, g_strerror (ENOSPC)) != NULL)
    return LODGE_ERROR_NO_SPACE;
  return lodge_virt_error_map (error->code);
}

void
lodge_virt_set_error (GError **error, const char *format, ...)
{
  va_list arguments;

  va_start (arguments, format);
  g_autofree char *prefix = g_strdup_vprintf (format, arguments);
  va_end (arguments);

  const virError *last = virGetLastError ();
  if (last == NULL || last->code == VIR_ERR_OK)
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_BACKEND, "%s", prefix);
      return;
    }
  g_autofree char *reason = g_strdup (last->message != NULL ? last->message : "no reason given");
  g_strdelimit (reason, "\r\n", ' ');
  g_set_error (error, LODGE_ERROR, classify (last), "%s: %s", prefix, g_strstrip (reason));
}

gboolean
lodge_virt_error_is (int code)
{
  const virError *last = virGetLastError ();

  return last != NULL && last->code == code;
}
