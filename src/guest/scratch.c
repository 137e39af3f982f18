#include "guest/scratch.h"
#include "base/file.h"
#include "base/str.h"
#include <fcntl.h>
#include <linux/dm-ioctl.h>
#include <linux/fs.h>
#include <sodium.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>

enum { BLOCK = 4096, KEY = 64 };
#define EXT4_IOC_RESIZE_FS _IOW('f', 16, uint64_t)

struct dm_message {
	struct dm_ioctl head;
	struct dm_target_spec target;
	char params[512];
};

static void dm_begin(struct dm_message *m)
{
	*m = (struct dm_message){
		.head = {
			.version = { DM_VERSION_MAJOR, 0, 0 },
			.data_size = sizeof *m,
			.data_start = offsetof(struct dm_message, target),
		},
	};
	memcpy(m->head.name, "scratch", sizeof "scratch");
}

/* sector_size: one AES-XTS unit for each 4 KiB, an eighth of the calls. */
static int dm_crypt_make(const char *device, uint64_t sectors, struct err *e)
{
	uint8_t key[KEY];
	char hex[2 * KEY + 1];
	struct dm_message m;
	cleanup_close int ctl = open("/dev/mapper/control", O_RDWR | O_CLOEXEC);
	if (ctl < 0)
		return err_sys(e, errno, "device mapper: cannot open its control");
	dm_begin(&m);
	int r = ioctl(ctl, DM_DEV_CREATE, &m);
	if (r < 0)
		return err_sys(e, errno, "device mapper: create");
	randombytes_buf(key, sizeof key);
	hex_encode(hex, key, sizeof key);
	dm_begin(&m);
	m.head.target_count = 1;
	m.head.flags = DM_SECURE_DATA_FLAG; /* the kernel wipes its copy of this message */
	m.target.length = sectors;
	memcpy(m.target.target_type, "crypt", sizeof "crypt");
	snprintf(m.params, sizeof m.params,
	    "aes-xts-plain64 %s 0 %s 0 3 sector_size:4096 no_read_workqueue no_write_workqueue",
	    hex, device);
	r = ioctl(ctl, DM_TABLE_LOAD, &m);
	int err = errno;
	explicit_bzero(&m, sizeof m);
	explicit_bzero(key, sizeof key);
	explicit_bzero(hex, sizeof hex);
	if (r < 0)
		return err_sys(e, err, "device mapper: load dm-crypt over %s", device);
	dm_begin(&m);
	r = ioctl(ctl, DM_DEV_SUSPEND, &m); /* without the suspend flag: resume */
	return r < 0 ? err_sys(e, errno, "device mapper: resume") : 0;
}

/* /scratch.blocks: (little-endian block number, block), the non-zero blocks of a small empty ext4
 * (scripts/guest). */
static int format(const char *device, struct err *e)
{
	cleanup_free char *data = NULL;
	size_t len = 0;
	int r = file_read(AT_FDCWD, "/scratch.blocks", 4 << 20, &data, &len, e);
	if (r < 0)
		return r;
	cleanup_close int fd = open(device, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, errno, "cannot open %s", device);
	for (size_t at = 0; at + 4 + BLOCK <= len; at += 4 + BLOCK) {
		const uint8_t *p = (uint8_t *)data + at;
		off_t block = p[0] | p[1] << 8 | p[2] << 16;
		if (pwrite(fd, p + 4, BLOCK, block * BLOCK) != BLOCK)
			return err_sys(e, errno, "cannot format %s", device);
	}
	(void)unlink("/scratch.blocks");
	return 0;
}

int scratch_mount(const char *device, const char *where, struct err *e)
{
	uint64_t bytes = 0;
	cleanup_close int fd = open(device, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || ioctl(fd, BLKGETSIZE64, &bytes) < 0)
		return err_sys(e, errno, "scratch disk %s", device);
	if (bytes < 64 << 20)
		return err_set(e, ERR_INVALID, "scratch disk %s is smaller than 64 MiB", device);
	uint64_t blocks = bytes / BLOCK;
	int r = dm_crypt_make(device, blocks * 8, e);
	if (r < 0 || (r = format("/dev/dm-0", e)) < 0)
		return r;
	/* The disk dies with this boot, so nothing is written for the sake of a crash. Inode tables
	 * are marked unused and read only once used: "noinit_itable" keeps the kernel from zeroing
	 * all of them in the background; it must be off while growing, where it would zero them at
	 * once. */
	if (mount("/dev/dm-0", where, "ext4", MS_NOATIME | MS_NODEV, "nobarrier") < 0)
		return err_sys(e, errno, "cannot mount the scratch disk");
	cleanup_close int dir = open(where, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 || ioctl(dir, EXT4_IOC_RESIZE_FS, &blocks) < 0)
		return err_sys(e, errno, "cannot grow the scratch disk to %llu MiB",
		    (unsigned long long)(bytes >> 20));
	if (mount(NULL, where, NULL, MS_REMOUNT | MS_NOATIME, "noinit_itable,nobarrier") < 0)
		return err_sys(e, errno, "cannot remount the scratch disk");
	return 0;
}
