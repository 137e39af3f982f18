/* The kernel modules that the initrd carries, in the order of /modules/order. */
#pragma once

/* Loads all; what fails (built in already, or no such device) is said and does not stop the boot.
 */
void modules_load(void);
