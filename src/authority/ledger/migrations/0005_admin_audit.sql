-- Who changed what, when and why. Written in the transaction of the change itself.
CREATE TABLE admin_audit (
    change_number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant text NOT NULL,
    account text NOT NULL,
    method text NOT NULL,
    resource_type text NOT NULL,
    resource text NOT NULL,
    actor text NOT NULL,
    reason text NOT NULL,
    before jsonb,
    after jsonb NOT NULL,
    change_time timestamptz NOT NULL
);
CREATE INDEX admin_audit_by_tenant ON admin_audit (tenant, change_number);
CREATE INDEX admin_audit_by_account ON admin_audit (account, change_number);
CREATE INDEX admin_audit_by_resource ON admin_audit (resource, change_number);
