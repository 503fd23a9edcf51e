/* Loads NAME, a library, and asks it for devices: prints how many there are and the file that the function is in. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>

int main(int argc, char **argv)
{
	void *library = dlopen(argc > 1 ? argv[1] : "", RTLD_NOW | RTLD_LOCAL);
	void *(*list)(int *) = library ? (void *(*)(int *))dlsym(library, argc > 2 ? argv[2] : "ibv_get_device_list") : NULL;
	int count = -1;
	Dl_info info;

	if (!list) {
		printf("%s\n", dlerror());
		return 1;
	}
	list(&count);
	if (!dladdr((void *)list, &info))
		return 1;
	printf("%d %s\n", count, info.dli_fname);
	return 0;
}
