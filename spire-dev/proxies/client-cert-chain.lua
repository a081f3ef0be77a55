-- Client-Cert-Chain (RFC 9440 section 2.3) for HAProxy, which has the client's intermediates only as one string of DER
-- certificates, one behind the other. Nothing is judged here: what is no such string makes no header, and the bridge
-- finds the path missing.

-- Where the certificate that begins at `from` ends: a SEQUENCE (0x30), whose length has 1 byte, or 2 or 3 (X.690 8.1.3).
local function last_byte(der, from)
  local tag, first = der:byte(from, from + 1)
  if tag ~= 0x30 or not first then return nil end
  if first < 0x80 then return from + 1 + first end
  local count = first - 0x80
  if count < 1 or count > 2 or #der < from + 1 + count then return nil end
  local length = 0
  for at = from + 2, from + 1 + count do length = length * 256 + der:byte(at) end
  return from + 1 + count + length
end

core.register_action("client_cert_chain", { "http-req" }, function(txn)
  local chain, leaf = txn.f:ssl_c_chain_der(), txn.f:ssl_c_der()
  if not chain then return end
  local members, from = {}, 1
  while from <= #chain do
    local to = last_byte(chain, from)
    if not to or to > #chain then return end
    local der = chain:sub(from, to)
    -- Some libraries count the leaf to the chain. It has a header of its own.
    if not (from == 1 and der == leaf) then
      members[#members + 1] = ":" .. txn.c:base64(der) .. ":"
    end
    from = to + 1
  end
  if #members > 0 then
    txn.http:req_set_header("client-cert-chain", table.concat(members, ", "))
  end
end)
