/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-kvm-private.h"

#include <string.h>

#include "lodge-name.h"

#define WORDS 3

static void
set_unknown_model (GError **error, const char *model, const char *architecture,
                   const char *const *known)
{
  const char *nearest = lodge_nearest (model, known);

  g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_CONFIG,
               "vm.cpu=%s: libvirt knows no such processor for %s\n%s%s%s", model, architecture,
               nearest != NULL ? "did you mean " : "`virsh cpu-models ARCHITECTURE` lists them",
               nearest != NULL ? nearest : "", nearest != NULL ? "?" : "");
}

static gboolean
check_model (virConnectPtr connection, const char *model, const char *architecture, GError **error)
{
  static const char *const words[WORDS] = { "auto", "host", "maximum" };
  g_autoptr (GStrvBuilder) builder = g_strv_builder_new ();
  char **models = NULL;
  int n = virConnectGetCPUModelNames (connection, architecture, &models, 0);

  if (n < 0)
    {
      lodge_virt_set_error (error, "cannot list the processors for %s", architecture);
      return FALSE;
    }
  for (int i = 0; i < n; i++)
    {
      g_strv_builder_add (builder, models[i]);
      free (models[i]);
    }
  free (models);
  for (gsize i = 0; i < WORDS; i++)
    g_strv_builder_add (builder, words[i]);

  g_auto (GStrv) known = g_strv_builder_end (builder);
  /* libvirt has no list for some architectures: then QEMU is the judge, at the start. */
  if (n == 0 || g_strv_contains ((const char *const *) known, model))
    return TRUE;
  set_unknown_model (error, model, architecture, (const char *const *) known);
  return FALSE;
}

gboolean
lodge_kvm_check_cpu (virConnectPtr connection, const LodgeDomainSpec *spec, const char *domain_type,
                     GError **error)
{
  const char *wish = lodge_domain_spec_get (spec, "vm.cpu", "auto");

  if (strcmp (wish, "auto") == 0 || strcmp (wish, "maximum") == 0)
    return TRUE;
  if (strcmp (wish, "host") != 0)
    return check_model (connection, wish, spec->architecture, error);
  if (strcmp (domain_type, "kvm") == 0)
    return TRUE;
  g_set_error (error, LODGE_ERROR, LODGE_ERROR_NOT_SUPPORTED,
               "“%s” cannot have the host's processor, as it runs without KVM\n"
               "Use vm.cpu=maximum or a model.",
               spec->name);
  return FALSE;
}
