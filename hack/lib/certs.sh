# Certificates and kubeconfigs of a cluster, made with openssl. Sourced, never run.
#
# The files carry the names that upstream's local-up-cluster.sh gives them, so every document, flag and launch
# configuration that names one of them holds. Keys are ECDSA P-256: they are made in milliseconds.

# create_ca DIR NAME: DIR/NAME-ca.crt and DIR/NAME-ca.key
create_ca() {
  local dir=$1 name=$2
  openssl ecparam -genkey -name prime256v1 -noout -out "$dir/$name-ca.key" 2>/dev/null
  openssl req -x509 -new -sha256 -days 365 -key "$dir/$name-ca.key" -subj "/CN=$name-ca" \
    -addext "basicConstraints=critical,CA:TRUE" -addext "keyUsage=critical,keyCertSign,cRLSign,digitalSignature" \
    -out "$dir/$name-ca.crt" 2>/dev/null
}

# create_cert DIR CA FILE SUBJECT EXTENDED-USAGE [SAN]: DIR/FILE.crt and DIR/FILE.key, signed by DIR/CA.crt
create_cert() {
  local dir=$1 ca=$2 file=$3 subject=$4 usage=$5 san=${6:-}
  local extensions="$dir/.$file.ext"
  {
    echo "basicConstraints=CA:FALSE"
    echo "keyUsage=critical,digitalSignature,keyEncipherment"
    echo "extendedKeyUsage=$usage"
    [ -z "$san" ] || echo "subjectAltName=$san"
  } >"$extensions"
  openssl ecparam -genkey -name prime256v1 -noout -out "$dir/$file.key" 2>/dev/null
  chmod 600 "$dir/$file.key"
  openssl req -new -key "$dir/$file.key" -subj "$subject" 2>/dev/null |
    openssl x509 -req -sha256 -days 365 -CA "$dir/$ca.crt" -CAkey "$dir/$ca.key" \
      -set_serial "0x$(openssl rand -hex 8)" -extfile "$extensions" -out "$dir/$file.crt" 2>/dev/null
  rm -f "$extensions"
}

# subject_alt_names NAME...: the SAN list of openssl; what looks like an address becomes an IP entry
subject_alt_names() {
  local name list=""
  for name in "$@"; do
    if [[ $name =~ ^[0-9.]+$ || $name == *:* ]]; then list+="IP:$name,"; else list+="DNS:$name,"; fi
  done
  echo "${list%,}"
}

# write_kubeconfig DIR SERVER CLIENT: DIR/CLIENT.kubeconfig for the certificate DIR/client-CLIENT.crt
write_kubeconfig() {
  local dir=$1 server=$2 client=$3
  cat >"$dir/$client.kubeconfig" <<EOF
apiVersion: v1
kind: Config
clusters:
- name: local-up-cluster
  cluster:
    server: $server
    certificate-authority: $dir/server-ca.crt
users:
- name: local-up-cluster
  user:
    client-certificate: $dir/client-$client.crt
    client-key: $dir/client-$client.key
contexts:
- name: local-up-cluster
  context:
    cluster: local-up-cluster
    user: local-up-cluster
current-context: local-up-cluster
EOF
  chmod 600 "$dir/$client.kubeconfig"
}

# create_cluster_certs DIR NODE-NAME SERVICE-IP HOST...: everything that the six daemons need.
# The hosts are the names and addresses under which the API server is reached.
create_cluster_certs() {
  local dir=$1 node=$2 service_ip=$3
  shift 3
  if [ "${ENABLE_SINGLE_CA_SIGNER:-}" = true ]; then
    create_ca "$dir" server
    cp "$dir/server-ca.crt" "$dir/client-ca.crt"
    cp "$dir/server-ca.key" "$dir/client-ca.key"
  else
    create_ca "$dir" server
    create_ca "$dir" client
  fi
  create_ca "$dir" request-header
  create_cert "$dir" server-ca serving-kube-apiserver "/CN=kubernetes.default" serverAuth \
    "$(subject_alt_names kubernetes kubernetes.default kubernetes.default.svc kubernetes.default.svc.cluster.local localhost "$@" "$service_ip")"
  create_cert "$dir" server-ca serving-kube-aggregator "/CN=api.kube-public.svc" serverAuth \
    "$(subject_alt_names api.kube-public.svc localhost "$@")"
  create_cert "$dir" client-ca client-admin "/O=system:masters/CN=system:admin" clientAuth
  create_cert "$dir" client-ca client-controller "/CN=system:kube-controller-manager" clientAuth
  create_cert "$dir" client-ca client-scheduler "/CN=system:kube-scheduler" clientAuth
  create_cert "$dir" client-ca client-kube-apiserver "/CN=kube-apiserver" clientAuth
  create_cert "$dir" client-ca client-kube-aggregator "/O=system:masters/CN=system:kube-aggregator" clientAuth
  create_cert "$dir" client-ca client-kube-proxy "/CN=system:kube-proxy" clientAuth
  create_cert "$dir" client-ca client-kubelet "/O=system:nodes/CN=system:node:$node" clientAuth
  create_cert "$dir" request-header-ca client-auth-proxy "/CN=system:auth-proxy" clientAuth
}

# create_service_account_key FILE: the RSA key that signs service account tokens, unless it is there already
create_service_account_key() {
  [ -f "$1" ] && return 0
  mkdir -p "$(dirname "$1")"
  openssl genrsa -out "$1" 2048 2>/dev/null
  chmod 600 "$1"
}
