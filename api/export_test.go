package api

// Routes returns the methods of each path.
func Routes(c Config) (map[string][]string, error) {
	a, err := newAPI(c)
	if err != nil {
		return nil, err
	}
	all := map[string][]string{}
	for path, operations := range a.routes() {
		for method := range operations {
			all[path] = append(all[path], method)
		}
	}
	return all, nil
}

// Kinds returns the names of all kinds of problems.
func Kinds() (names []string) {
	for _, k := range kinds {
		names = append(names, k.name)
	}
	return names
}
