package main

import (
	"encoding/hex"
	"reflect"
	"time"

	"github.com/ipfs-cluster/ipfs-cluster/api"
)

func text[T string | []byte](value T) string { return hex.EncodeToString([]byte(value)) }

// rendered makes of a decoded value what JSON can say without losing anything of it.
func rendered(value any) any { return render(reflect.ValueOf(value)) }

func render(value reflect.Value) any {
	switch known := value.Interface().(type) {
	case time.Time:
		marshalled, err := known.MarshalBinary()
		if err != nil {
			marshalled = []byte(err.Error())
		}
		return map[string]any{
			"zero": known.IsZero(), "unix": known.Unix(), "ns": known.Nanosecond(), "marshalled": text(marshalled),
		}
	case api.Cid:
		return text(known.Bytes())
	case api.Multiaddr:
		if known.Value() == nil {
			return nil
		}
		return text(known.Value().Bytes())
	}
	switch value.Kind() {
	case reflect.Pointer:
		if value.IsNil() {
			return nil
		}
		return render(value.Elem())
	case reflect.String:
		return text(value.String())
	case reflect.Int, reflect.Int64: // not as JSON has it: some types say a word instead
		return value.Int()
	case reflect.Uint8, reflect.Uint64:
		return value.Uint()
	case reflect.Map:
		if value.IsNil() {
			return nil
		}
		pairs := map[string]any{}
		for _, key := range value.MapKeys() {
			pairs[text(key.String())] = render(value.MapIndex(key))
		}
		return pairs
	case reflect.Slice:
		if value.IsNil() {
			return nil
		}
		if value.Type().Elem().Kind() == reflect.Uint8 {
			return text(value.Bytes())
		}
		elements := make([]any, value.Len())
		for i := range elements {
			elements[i] = render(value.Index(i))
		}
		return elements
	case reflect.Struct:
		fields := map[string]any{}
		collect(value, fields)
		return fields
	}
	return value.Interface()
}

// collect puts a struct's fields under their names, those of embedded structs among them.
func collect(value reflect.Value, fields map[string]any) {
	for i := range value.NumField() {
		field := value.Type().Field(i)
		switch {
		case !field.IsExported():
		case field.Anonymous:
			collect(value.Field(i), fields)
		default:
			fields[field.Name] = render(value.Field(i))
		}
	}
}
