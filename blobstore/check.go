package blobstore

// CheckURL says what is wrong with a bucket URL or plain path as far as that shows without opening it.
func CheckURL(url string) error {
	_, err := parse(url)
	return err
}

// CheckNamespace says why a name cannot be that of a namespace in the audit store.
func CheckNamespace(namespace string) error { return checkSegment("namespace", namespace) }
