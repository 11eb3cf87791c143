/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is in the CD-ROM drive of a VM. */
#include "lodge-kvm-private.h"

#include <libvirt/virterror.h>

#include "lodge-virt-durable.h"

#define DOMAIN_TYPE "qemu"

/* The drive as the running guest has it and as the next start will have it may differ. */
static gboolean
empty_drive (virDomainPtr domain, guint xml_flags, guint update_flags, GError **error)
{
  g_autoptr (GError) local_error = NULL;
  const char *name = virDomainGetName (domain);
  g_autofree char *xml = lodge_kvm_domain_xml (domain, xml_flags, error);
  g_autofree char *drive = NULL;

  if (xml == NULL)
    return FALSE;
  drive = lodge_domain_xml_empty_drive (xml, &local_error);
  if (local_error != NULL)
    {
      g_propagate_error (error, g_steal_pointer (&local_error));
      return FALSE;
    }
  if (drive == NULL || virDomainUpdateDeviceFlags (domain, drive, update_flags) == 0)
    return TRUE;
  lodge_virt_set_error (error, "cannot eject the medium of '%s'", name);
  return FALSE;
}

gboolean
lodge_kvm_eject (LodgeDriver *driver, const char *uuid, gboolean force, GError **error)
{
  LodgeKvmDriver *self = LODGE_KVM_DRIVER (driver);
  g_autoptr (virDomain) domain = lodge_virt_connection_lookup (self->connection, uuid, error);
  guint flags = force ? VIR_DOMAIN_DEVICE_MODIFY_FORCE : 0;

  if (domain == NULL)
    return FALSE;
  if (virDomainIsActive (domain) == 1
      && !empty_drive (domain, 0, flags | VIR_DOMAIN_AFFECT_LIVE, error))
    return FALSE;
  return empty_drive (domain, VIR_DOMAIN_XML_INACTIVE, VIR_DOMAIN_AFFECT_CONFIG, error)
         && lodge_virt_sync_definitions (DOMAIN_TYPE, error);
}
