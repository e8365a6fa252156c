package libpod

import "github.com/docker/docker/pkg/namesgenerator"

// randomName is a name of two words, as Docker gives to containers without one; from the second try on with a digit.
func randomName(try int) string { return namesgenerator.GetRandomName(try) }
